// SPDX-License-Identifier: Apache-2.0
//
// Names of functions as a reader wants them: `legacy::fetch<int>` for `_ZN6legacy5fetchIiEEvi`.
#pragma once

#include <string>

namespace aiofiber::tool {

// The source's spelling, with parameters; the argument itself when it is not a mangled name.
std::string demangle(const char* mangled);

// A demangled name without its return type and parameter lists.
std::string display_name(const std::string& demangled);

}  // namespace aiofiber::tool
