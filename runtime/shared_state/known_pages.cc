// SPDX-License-Identifier: Apache-2.0
//
// The table's parts come from the kernel when they are first needed. They are never given back: another
// thread may be reading.
#include "shared_state/known_pages.h"

#include <malloc.h>

#include <bit>

#include "aiofiber/runtime/engine/syscall.h"

namespace aiofiber::runtime::shared_state {

namespace detail {
constinit std::atomic<Leaf*> leaves{nullptr};
}

namespace {

// Zero bytes are an empty table. Of two threads that make it, one wins.
template <class T>
T* made_once(std::atomic<T*>& slot, std::size_t count) noexcept {
  T* known = slot.load(std::memory_order_acquire);
  if (known != nullptr) return known;
  void* const memory = sys::map_anonymous(count * sizeof(T));
  if (memory == MAP_FAILED) return nullptr;
  T* const made = static_cast<T*>(memory);
  if (slot.compare_exchange_strong(known, made, std::memory_order_acq_rel)) return made;
  sys::unmap(memory, count * sizeof(T));
  return known;
}

struct StartBit {
  std::size_t word;
  std::uint64_t bit;
};
StartBit start_bit(std::uintptr_t address) noexcept {
  const std::size_t index = address % kPageBytes / KnownPage::kBytesOfABit;
  return {index / 64, std::uint64_t{1} << (index % 64)};
}

}  // namespace

KnownPage* make_known_page(std::uintptr_t address) noexcept {
  const std::uintptr_t number = address / kPageBytes, leaf = number >> detail::kBitsOfALeaf;
  if (leaf >= detail::kLeaves) return nullptr;
  detail::Leaf* const leaves = made_once(detail::leaves, detail::kLeaves);
  if (leaves == nullptr) return nullptr;
  KnownPage* const pages = made_once(leaves[leaf], detail::kPagesOfALeaf);
  return pages == nullptr ? nullptr : &pages[number & (detail::kPagesOfALeaf - 1)];
}

void note_block(std::uintptr_t begin, std::size_t bytes) noexcept {
  for (std::uintptr_t at = begin; at < begin + bytes; at = (at / kPageBytes + 1) * kPageBytes) {
    KnownPage* const known = make_known_page(at);
    if (known == nullptr) return;
    if (known->kind.load(std::memory_order_relaxed) != PageKind::kHeap)
      known->kind.store(PageKind::kHeap, std::memory_order_relaxed);
    if (at != begin) continue;
    const StartBit start = start_bit(begin);
    known->block_starts[start.word].fetch_or(start.bit, std::memory_order_relaxed);
  }
}

void forget_block(std::uintptr_t begin) noexcept {
  KnownPage* const known = known_page(begin);
  if (known == nullptr) return;
  const StartBit start = start_bit(begin);
  known->block_starts[start.word].fetch_and(~start.bit, std::memory_order_relaxed);
}

Block block_at(std::uintptr_t address) noexcept {
  for (std::uintptr_t at = address;; at = at / kPageBytes * kPageBytes - 1) {
    const KnownPage* const known = known_page(at);
    if (known == nullptr || known->kind.load(std::memory_order_relaxed) != PageKind::kHeap) return {};
    const StartBit last = start_bit(at);
    for (std::size_t word = last.word + 1; word-- > 0;) {
      std::uint64_t starts = known->block_starts[word].load(std::memory_order_relaxed);
      if (word == last.word) starts &= last.bit | (last.bit - 1);
      if (starts == 0) continue;
      const std::size_t index = word * 64 + 63 - static_cast<std::size_t>(std::countl_zero(starts));
      const std::uintptr_t begin = at / kPageBytes * kPageBytes + index * KnownPage::kBytesOfABit;
      const std::size_t bytes = ::malloc_usable_size(reinterpret_cast<void*>(begin));
      return address - begin < bytes ? Block{begin, bytes} : Block{};
    }
  }
}

}  // namespace aiofiber::runtime::shared_state
