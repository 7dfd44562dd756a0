// SPDX-License-Identifier: Apache-2.0
//
// A set of the bytes of one page.
//
// History keeps several for each task and page: who wrote what, and what has changed since.
//
// Most sets hold a few ranges of a few bytes, so the operations take a range and touch only its words.
#pragma once

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
  bool any(std::size_t begin, std::size_t end) const noexcept {
    bool found = false;
    for_words(begin, end, [&](std::size_t word, std::uint64_t mask) { found |= (words_[word] & mask) != 0; });
    return found;
  }
  bool has_all(std::size_t begin, std::size_t end) const noexcept {
    bool missing = false;
    for_words(begin, end,
              [&](std::size_t word, std::uint64_t mask) { missing |= (~words_[word] & mask) != 0; });
    return !missing;
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
