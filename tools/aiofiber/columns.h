// SPDX-License-Identifier: Apache-2.0
//
// Tables of text: columns as wide as what they hold. Widths are in characters, as names may hold UTF-8.
#pragma once

#include <string>
#include <vector>

namespace aiofiber::tool {

struct Column {
  const char* title;
  bool right;               // aligned to the right
  std::size_t most = 4000;  // characters: one long name must not push the others off the screen
};

// The titles and the rows below, a line each. Every row has a cell for each column.
std::vector<std::string> table_lines(const std::vector<Column>& columns,
                                     const std::vector<std::vector<std::string>>& rows);

// Its number of characters, and so many of its first ones.
std::size_t characters(const std::string& text);
std::string cut(const std::string& text, std::size_t columns);

}  // namespace aiofiber::tool
