// SPDX-License-Identifier: Apache-2.0
//
// In which style each body runs.
#include "machine.h"

namespace conf {
namespace {

// The hash FNV-1a: the coins of a program are the same on every machine.
std::uint64_t hash(const std::string& text) {
  std::uint64_t value = 0xCBF29CE484222325;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return value;
}

}  // namespace

Machine::Machine(const std::string& text, Bodies style)
    : program_(parse_program(text)), style_(style), coins_(hash(text)) {}

// One bit of Knuth's generator MMIX for each body.
bool Machine::next_is_coroutine() {
  if (style_ != Bodies::kMixed) return style_ == Bodies::kCoroutines;
  coins_ = coins_ * 6364136223846793005 + 1442695040888963407;
  return (coins_ >> 63) != 0;
}

}  // namespace conf
