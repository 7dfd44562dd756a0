// SPDX-License-Identifier: Apache-2.0
//
// Folds recursion in a traceback: repeated calls are shown three times and then counted, as in Python. Also
// folds functions that call each other in turn.
//
// Used by the runtime's tracebacks and by the aiofiber command. Header only.
#pragma once

#include <cstddef>
#include <string>

namespace aiofiber::runtime {

inline constexpr std::size_t kRepeatsShown = 3;
inline constexpr std::size_t kMostFunctionsInTurn = 8;

// Calls show(i) for each shown line of `count` lines, and fold(lines, times) where the `lines` lines before
// are repeated `times` more times. same(i, k): whether two lines are equal.
template <class Same, class Show, class Fold>
void fold_repeats(std::size_t count, Same same, Show show, Fold fold) {
  const auto times = [&](std::size_t from, std::size_t lines) {
    std::size_t equal = 0;
    while (from + lines + equal < count && same(from + equal, from + lines + equal)) ++equal;
    return equal / lines + 1;
  };
  for (std::size_t i = 0; i < count;) {
    std::size_t lines = 1;
    while (lines <= kMostFunctionsInTurn && times(i, lines) <= kRepeatsShown) ++lines;
    if (lines > kMostFunctionsInTurn) {
      show(i++);
      continue;
    }
    const std::size_t repeats = times(i, lines);
    for (std::size_t k = 0; k < kRepeatsShown * lines; ++k) show(i + k);
    fold(lines, repeats - kRepeatsShown);
    i += repeats * lines;
  }
}

// `[Previous line repeated 7 more times]`, `[Previous 2 lines repeated 1 more time]`.
inline std::string repeats_text(std::size_t lines, std::size_t times) {
  return "[Previous " + (lines == 1 ? std::string("line") : std::to_string(lines) + " lines") + " repeated " +
         std::to_string(times) + (times == 1 ? " more time]" : " more times]");
}

}  // namespace aiofiber::runtime
