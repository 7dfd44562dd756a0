// SPDX-License-Identifier: Apache-2.0
//
// A set of the bytes of one page.
//
// History keeps several for each task and page: who wrote what, and what has changed since.
//
// Most sets hold a few ranges of a few bytes, so the operations take a range and touch only its words.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace aiofiber::runtime::shared_state {

inline constexpr std::size_t kPageBytes = 4096;

class PageBits {
 public:
  bool has(std::size_t at) const noexcept { return (words_[at / 64] >> (at % 64) & 1) != 0; }
  void add(std::size_t at) noexcept { words_[at / 64] |= std::uint64_t{1} << (at % 64); }
  void remove(std::size_t at) noexcept { words_[at / 64] &= ~(std::uint64_t{1} << (at % 64)); }
  void add(std::size_t begin, std::size_t end) noexcept {
    for_words(begin, end, [&](std::size_t word, std::uint64_t mask) { words_[word] |= mask; });
  }
  void remove(std::size_t begin, std::size_t end) noexcept {
    for_words(begin, end, [&](std::size_t word, std::uint64_t mask) { words_[word] &= ~mask; });
  }
  // Adds those that are in neither of the sets. Whether there are any.
  bool add_others(std::size_t begin, std::size_t end, const PageBits& known,
                  const PageBits& left_out) noexcept {
    bool found = false;
    for_words(begin, end, [&](std::size_t word, std::uint64_t mask) {
      const std::uint64_t others = mask & ~known.words_[word] & ~left_out.words_[word];
      words_[word] |= others;
      found |= others != 0;
    });
    return found;
  }
  // Calls visit(at) for each that is not in the set.
  template <class Visit>
  void for_missing(std::size_t begin, std::size_t end, Visit visit) const noexcept {
    for_words(begin, end, [&](std::size_t word, std::uint64_t mask) {
      for (std::uint64_t missing = mask & ~words_[word]; missing != 0; missing &= missing - 1)
        visit(word * 64 + static_cast<std::size_t>(std::countr_zero(missing)));
    });
  }
  // Calls visit(begin, end) for each run of words of 64 bytes that have some of them.
  template <class Visit>
  void for_ranges(Visit visit) const noexcept {
    constexpr std::size_t kWords = kPageBytes / 64;
    for (std::size_t word = 0; word < kWords; ++word) {
      if (words_[word] == 0) continue;
      const std::size_t first = word;
      while (word < kWords && words_[word] != 0) ++word;
      visit(first * 64, word * 64);
    }
  }
  bool any(std::size_t begin, std::size_t end) const noexcept {
    bool found = false;
    for_words(begin, end, [&](std::size_t word, std::uint64_t mask) { found |= (words_[word] & mask) != 0; });
    return found;
  }
  // Of at most 16 bytes that begin at `at`; false also if they are in two words.
  bool has_all_in_word(std::size_t at, std::size_t bytes) const noexcept {
    const std::size_t bit = at % 64;
    const std::uint64_t mask = ((std::uint64_t{1} << bytes) - 1) << bit;
    return bit + bytes <= 64 && (~words_[at / 64] & mask) == 0;
  }
  bool any() const noexcept {
    for (const std::uint64_t word : words_) {
      if (word != 0) return true;
    }
    return false;
  }
  bool all() const noexcept {
    for (const std::uint64_t word : words_) {
      if (~word != 0) return false;
    }
    return true;
  }
  void clear() noexcept {
    for (std::uint64_t& word : words_) word = 0;
  }

 private:
  template <class Visit>
  static void for_words(std::size_t begin, std::size_t end, Visit visit) noexcept {
    while (begin < end) {
      const std::size_t word = begin / 64, from = begin % 64;
      const std::size_t to = end - word * 64 < 64 ? end - word * 64 : 64;
      const std::uint64_t below = to == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << to) - 1;
      visit(word, below & ~((std::uint64_t{1} << from) - 1));
      begin = (word + 1) * 64;
    }
  }

  std::uint64_t words_[kPageBytes / 64] = {};
};

}  // namespace aiofiber::runtime::shared_state
