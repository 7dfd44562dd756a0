// SPDX-License-Identifier: Apache-2.0
//
// Names of functions as a reader wants them: `legacy::fetch<int>` for `_ZN6legacy5fetchIiEEvi`; and which
// functions are no business of the program's author.
// Shared by the tracebacks inside the process and by the aiofiber command. Threads: any.
#pragma once

#include <string>
#include <string_view>

namespace aiofiber::runtime {

// The name in the source's spelling, with parameters; the argument itself when it is not a mangled name.
std::string demangle(const char* mangled);

// A demangled name without its return type and parameter lists: `void a::f<int>(int) const` gives
// `a::f<int>`.
std::string display_name(const std::string& demangled);
// The same without what nobody writes: `std::string` by that name, no arguments of templates that are the standard
// library's defaults (allocators, comparisons, hashes), and `main::{lambda}` for a lambda in main and for those in it,
// however the compiler spells them: the line tells which.
std::string abridge(std::string display);

// Whether a frame stands between the program's own: the runtime, the facade, and what the standard library
// calls callables with. `function` is for display, `linkage_name` mangled or empty.
bool is_plumbing(std::string_view function, std::string_view linkage_name, std::string_view file,
                 bool inlined) noexcept;

}  // namespace aiofiber::runtime
