// SPDX-License-Identifier: Apache-2.0
//
// Whether a text changes nothing on a terminal but the characters that it shows.
#pragma once

#include <cstddef>
#include <string>

namespace aiofiber::tool_test {

// No control of C0 or C1, no mark of direction, and no byte that is not UTF-8.
inline bool is_fit_for_a_terminal(const std::string& text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t k) {
      return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0u;
    };
    const unsigned first = byte(0);
    if (first < 0x80) {
      if ((first < 0x20 && first != '\n') || first == 0x7f) return false;
      ++i;
      continue;
    }
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
    if (length == 0 || (first == 0xc2 && byte(1) < 0xa0) ||
        (first == 0xe2 && byte(1) == 0x80 && byte(2) >= 0xaa && byte(2) <= 0xae))
      return false;
    for (std::size_t k = 1; k < length; ++k) {
      if ((byte(k) & 0xc0) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

}  // namespace aiofiber::tool_test
