// SPDX-License-Identifier: Apache-2.0
//
// Small text helpers of the facade's sources: how Python would write things.
//
// The texts of repr() and of the reports are compared with CPython's letter by letter, so quoting, type names
// and numbers are written in this one place. Private: no public header includes it.
#pragma once

#include <string>
#include <string_view>
#include <typeinfo>

namespace aiofiber::detail {

// 'text' in single quotes with escapes, as Python's repr of a str.
std::string quote(std::string_view text);
// The demangled name of a type.
std::string type_name(const std::type_info& type);
// The shortest decimal that reads back as the same double: 0.1, 5.0.
std::string number(double value);

// Keeps a long text readable: its middle is cut out.
std::string shorten(const std::string& text);

}  // namespace aiofiber::detail
