// SPDX-License-Identifier: Apache-2.0
//
// A parsed random program: bodies of instructions, whose blocks are instructions again. The beginning of
// python/fuzz_interp.py defines the text and the instructions.
//
// To shrink a failing program, delete any lines and correct the counts of the blocks. A count that is too
// large means "the rest".
#pragma once

#include <map>
#include <string>
#include <vector>

namespace conf {

struct Instruction;
using Code = std::vector<Instruction>;

struct Instruction {
  std::string name;
  std::vector<std::string> words;  // without the counts of the blocks
  std::vector<Code> blocks;

  const std::string& word(std::size_t index) const { return words.at(index); }
  int number(std::size_t index) const;
};

using Program = std::map<std::string, Code>;  // the bodies by name
Program parse_program(const std::string& text);

}  // namespace conf
