// SPDX-License-Identifier: Apache-2.0
//
// Python's notation for strings, type names and numbers.
#include "core/text.h"

#include <absl/strings/str_cat.h>
#include <cxxabi.h>

#include <charconv>
#include <cstdlib>
#include <memory>

namespace aiofiber::detail {

std::string quote(std::string_view text) {
  // Python prefers single quotes and changes to double ones only when that avoids an escape.
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char delimiter = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, delimiter);
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\\' || c == delimiter) {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      absl::StrAppend(&out, "\\x", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      out += c;
    }
  }
  return out + delimiter;
}

std::string type_name(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free);
  return status == 0 ? name.get() : type.name();
}

std::string number(double value) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  std::string text(buffer, end);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string shorten(const std::string& text) {
  constexpr std::size_t kLongest = 160;
  if (text.size() <= kLongest) return text;
  return text.substr(0, kLongest / 2 - 1) + "..." + text.substr(text.size() - kLongest / 2 + 2);
}

}  // namespace aiofiber::detail
