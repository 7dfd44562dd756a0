// SPDX-License-Identifier: Apache-2.0
//
// From the text to the tree. The only table here lists the instructions that have blocks; their meaning is
// defined elsewhere.
#include "program.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <span>
#include <sstream>

namespace conf {
namespace {

using Line = std::vector<std::string>;

// How many blocks an instruction has; as many of its last words count their lines.
std::size_t blocks_of(const std::string& name) {
  static const std::map<std::string, std::size_t> counts = {
      {"try", 1}, {"tryraise", 1}, {"finally", 2}, {"timeout", 1}, {"group", 1}, {"lock", 1},
      {"sem", 1}, {"cond", 1},     {"soon", 1},    {"later", 1},   {"at", 1},    {"ondone", 1},
  };
  const auto found = counts.find(name);
  return found == counts.end() ? 0 : found->second;
}

Code parse_block(std::span<const Line> lines) {
  Code code;
  while (!lines.empty()) {
    const Line& line = lines.front();
    lines = lines.subspan(1);
    const std::size_t block_count = std::min(blocks_of(line[0]), line.size() - 1);
    const auto first_count = line.end() - static_cast<std::ptrdiff_t>(block_count);
    Instruction instruction{line[0], {line.begin() + 1, first_count}, {}};
    for (auto count = first_count; count != line.end(); ++count) {
      const auto size = std::min(static_cast<std::size_t>(std::atoi(count->c_str())), lines.size());
      instruction.blocks.push_back(parse_block(lines.first(size)));
      lines = lines.subspan(size);
    }
    code.push_back(std::move(instruction));
  }
  return code;
}

}  // namespace

int Instruction::number(std::size_t index) const { return std::atoi(word(index).c_str()); }

Program parse_program(const std::string& text) {
  std::map<std::string, std::vector<Line>> bodies;
  std::vector<Line>* body = nullptr;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    Line split{std::istream_iterator<std::string>(words), {}};
    if (split.empty()) continue;
    if (split[0] == "task") {
      body = &bodies[split.at(1)];
    } else if (split[0] == "end") {
      body = nullptr;
    } else if (body != nullptr) {
      body->push_back(std::move(split));
    }
  }
  Program parsed;
  for (const auto& [name, body_lines] : bodies) parsed.emplace(name, parse_block(body_lines));
  return parsed;
}

}  // namespace conf
