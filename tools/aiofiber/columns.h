// SPDX-License-Identifier: Apache-2.0
//
// Tables of text. Each column is as wide as its longest cell. Widths are in characters, because names may
// contain UTF-8.
#pragma once

#include <string>
#include <vector>

namespace aiofiber::tool {

struct Column {
  const char* title;
  bool right;               // aligned to the right
  std::size_t most = 4000;  // characters: one long name must not push the others off the screen
};

// The titles and the rows below, one line each. Every row has a cell for each column.
std::vector<std::string> table_lines(const std::vector<Column>& columns,
                                     const std::vector<std::vector<std::string>>& rows);

// The number of characters in a text, and its first characters.
std::size_t characters(const std::string& text);
std::string cut(const std::string& text, std::size_t columns);

}  // namespace aiofiber::tool
