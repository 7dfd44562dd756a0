// SPDX-License-Identifier: Apache-2.0
//
// What lies where in the address space: pages of static data that are watched, pages of the heap, and where
// the heap's blocks begin.
//
// A table of two levels, because each access of an instrumented program looks its page up. The heap is known
// only in programs whose malloc() tells of each block (instrumented/heap_calls.cc), and from their first
// block on, because a block may be older than the search. Stacks and other mappings are not known: nothing is
// searched there.
//
// Threads: any, but for KnownPage::page, which belongs to the watched thread. Async-signal-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "shared_state/page_bits.h"

namespace aiofiber::runtime::shared_state {

struct Page;

enum class PageKind : std::uint8_t { kUnknown, kStatic, kHeap };

struct KnownPage {
  static constexpr std::size_t kBytesOfABit = 16;  // no block begins elsewhere
  std::atomic<std::uint64_t> block_starts[kPageBytes / kBytesOfABit / 64];
  std::atomic<PageKind> kind;
  Page* page;  // null: it has not been used in the search
};

namespace detail {
inline constexpr std::size_t kBitsOfALeaf = 18, kBitsOfTheTop = 17;  // of page numbers, in 47 bits of address
inline constexpr std::size_t kPagesOfALeaf = std::size_t{1} << kBitsOfALeaf;
inline constexpr std::size_t kLeaves = std::size_t{1} << kBitsOfTheTop;
using Leaf = std::atomic<KnownPage*>;
extern constinit std::atomic<Leaf*> leaves;
}  // namespace detail

// Null: nothing is known there.
inline KnownPage* known_page(std::uintptr_t address) noexcept {
  const std::uintptr_t number = address / kPageBytes, leaf = number >> detail::kBitsOfALeaf;
  detail::Leaf* const leaves = detail::leaves.load(std::memory_order_acquire);
  if (leaves == nullptr || leaf >= detail::kLeaves) return nullptr;
  KnownPage* const pages = leaves[leaf].load(std::memory_order_acquire);
  return pages == nullptr ? nullptr : &pages[number & (detail::kPagesOfALeaf - 1)];
}
// The same, but makes the table as large as needed. Null: no memory.
KnownPage* make_known_page(std::uintptr_t address) noexcept;

// A block of the heap has been given to the program, or is going to be taken back. Its pages are the heap's
// from then on: they must stay mapped.
void note_block(std::uintptr_t begin, std::size_t bytes) noexcept;
void forget_block(std::uintptr_t begin) noexcept;

// A live block of the heap; `bytes` is 0 if the address lies in none.
struct Block {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
};
Block block_at(std::uintptr_t address) noexcept;

}  // namespace aiofiber::runtime::shared_state
