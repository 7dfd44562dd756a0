// SPDX-License-Identifier: Apache-2.0
//
// A random program as the interpreter sees it: bodies of instructions, whose blocks are instructions again.
// The text and what each instruction means stand at the top of python/fuzz_interp.py.
//
// Any lines of a program may be left out as long as the counts of the blocks are kept right; a count that is
// too large means "what is left". So a failing program can be shrunk.
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

using Bodies = std::map<std::string, Code>;
Bodies parse_program(const std::string& text);

}  // namespace conf
