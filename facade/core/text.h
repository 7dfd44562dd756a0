// SPDX-License-Identifier: Apache-2.0
//
// Small text helpers of the facade's sources: values in Python's notation.
//
// Tests compare the texts of repr() and of reports with CPython's byte for byte, so quoting, type names and
// numbers are written only here. Private: no public header includes it.
#pragma once

#include <string>
#include <string_view>
#include <typeinfo>

namespace aiofiber::detail {

// The text in single quotes with escapes, as Python's repr of a str.
std::string quote(std::string_view text);
// The demangled name of a type.
std::string type_name(const std::type_info& type);
// The shortest decimal that reads back as the same double: 0.1, 5.0.
std::string number(double value);

// Shortens a long text: cuts its middle out.
std::string shorten(const std::string& text);

}  // namespace aiofiber::detail
