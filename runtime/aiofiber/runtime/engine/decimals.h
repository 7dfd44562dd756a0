// SPDX-License-Identifier: Apache-2.0
//
// Numbers with a fixed count of decimals, for the texts of the library. The standard library has what it
// takes. absl::StrFormat() would add 80 KB to every program; what else it does, absl::StrCat() and absl::Hex
// do for less.
#pragma once

#include <charconv>
#include <string>

namespace aiofiber::runtime {

// "0.5" for (0.46, 1). At most 3 decimals; the number is below 1e30.
inline std::string decimals(double number, int count) {
  char text[48];
  return {text, std::to_chars(text, text + sizeof text, number, std::chars_format::fixed, count).ptr};
}

// "0.25" for (0.25, 9): no more digits than it takes, and at most `most` of them.
inline std::string digits(double number, int most) {
  char text[48];
  return {text, std::to_chars(text, text + sizeof text, number, std::chars_format::general, most).ptr};
}

}  // namespace aiofiber::runtime
