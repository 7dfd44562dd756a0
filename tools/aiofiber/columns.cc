// SPDX-License-Identifier: Apache-2.0
//
// Two spaces between columns; none at the end of a line.
#include "columns.h"

#include <algorithm>

namespace aiofiber::tool {

std::vector<std::string> table_lines(const std::vector<Column>& columns,
                                     const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::vector<std::string>> cells(1);
  for (const Column& column : columns) cells[0].push_back(column.title);
  cells.insert(cells.end(), rows.begin(), rows.end());
  std::vector<std::size_t> width(columns.size());
  for (std::vector<std::string>& row : cells) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      row[i] = cut(row[i], columns[i].most);
      width[i] = std::max(width[i], characters(row[i]));
    }
  }
  std::vector<std::string> lines;
  for (const std::vector<std::string>& row : cells) {
    std::string line;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const std::string blanks(width[i] - characters(row[i]), ' ');
      line += (columns[i].right ? blanks + row[i] : row[i] + blanks) + (i + 1 < columns.size() ? "  " : "");
    }
    line.resize(line.find_last_not_of(' ') + 1);
    lines.push_back(line);
  }
  return lines;
}

std::size_t characters(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string cut(const std::string& text, std::size_t columns) {
  std::size_t end = 0;
  for (; end < text.size(); ++end) {
    if ((text[end] & 0xc0) != 0x80 && columns-- == 0) break;
  }
  return text.substr(0, end);
}

}  // namespace aiofiber::tool
