// SPDX-License-Identifier: Apache-2.0
//
// The chunks: filled by one thread, given back by any, freed at the latest when the thread and all their
// blocks have ended.
#include "aiofiber/post_pool.h"

#include <utility>

namespace aiofiber::detail {

constinit thread_local PostPool::Own PostPool::own_{};

namespace {
// Instead of a list: the thread has ended, and nothing can be added.
constexpr std::uintptr_t kClosed = 1;
}  // namespace

// What other threads use of a thread's pool. It lives until the thread and its chunks have ended.
struct PostPool::Shared {
  void release() noexcept {
    if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  std::atomic<std::uintptr_t> returned{0};   // free chunks, linked by `next`
  std::atomic<std::uint32_t> kept{0};        // the number of free chunks
  std::atomic<std::uint32_t> references{1};  // the thread, and its chunks that are not free
};

struct PostPool::AtThreadExit {
  AtThreadExit() noexcept { own_.counts = true; }
  ~AtThreadExit() {
    Own& own = own_;
    own.counts = false;
    for (Freed& freed : own.freed) {
      if (freed.blocks > 0) tell(freed.chunk_and_slot, freed.blocks);
      freed = {};
    }
    if (own.shared == nullptr) return;
    finish_filling(own);
    free_list(std::exchange(own.free, nullptr));
    free_list(reinterpret_cast<Chunk*>(own.shared->returned.exchange(kClosed, std::memory_order_acquire)));
    std::exchange(own.shared, nullptr)->release();
  }
};

// False: the thread is ending, and has destroyed its part.
bool PostPool::begin_use() noexcept {
  thread_local const AtThreadExit at_exit;
  static_cast<void>(at_exit);
  return own_.counts;
}

void PostPool::free_chunk(Chunk& chunk) noexcept {
  ::operator delete(&chunk, std::align_val_t(alignof(Chunk)));
}

void PostPool::free_list(Chunk* first) noexcept {
  while (first != nullptr) free_chunk(*std::exchange(first, first->next));
}

// ---- allocation -------------------------------------------------------------------------------------------

// For callbacks that the destructors of an ending thread post, and for AddressSanitizer.
void* PostPool::allocate_alone(std::size_t stride) {
  void* const memory = ::operator new(sizeof(Chunk) + stride, std::align_val_t(alignof(Chunk)));
  auto* const chunk = new (memory) Chunk{1, nullptr, nullptr};
  return new (chunk + 1) Block{reinterpret_cast<std::uintptr_t>(chunk)} + 1;
}

void* PostPool::allocate_from_next_chunk(std::size_t stride) {
  static constinit std::atomic<std::uint32_t> threads{0};
  if (kOneBlockAChunk || !begin_use()) return allocate_alone(stride);
  Own& own = own_;
  if (own.shared == nullptr) own.shared = new Shared;
  if (own.free == nullptr) {
    own.free = reinterpret_cast<Chunk*>(own.shared->returned.exchange(0, std::memory_order_acquire));
  }
  Chunk* chunk = own.free;
  if (chunk != nullptr) {
    own.free = chunk->next;
    own.shared->kept.fetch_sub(1, std::memory_order_relaxed);
  } else {
    chunk = static_cast<Chunk*>(::operator new(kChunkBytes, std::align_val_t(alignof(Chunk))));
  }
  const std::uintptr_t slot =
      own.filling != 0 ? own.filling % kSlots : threads.fetch_add(1, std::memory_order_relaxed) % kSlots;
  finish_filling(own);
  own.far_ahead = own.shared->references.fetch_add(1, std::memory_order_relaxed) > kMostAhead;
  new (chunk) Chunk{kFilling, own.shared, nullptr};
  own.filling = reinterpret_cast<std::uintptr_t>(chunk) + slot;
  own.cut = 0;
  own.next = reinterpret_cast<char*>(chunk + 1);
  own.end = reinterpret_cast<char*>(chunk) + kChunkBytes;
  return cut(own, stride);
}

// The thread cuts no more blocks from its chunk.
void PostPool::finish_filling(Own& own) noexcept {
  own.next = own.end = nullptr;
  if (own.filling != 0) tell(std::exchange(own.filling, 0), kFilling - own.cut);
}

// ---- release ----------------------------------------------------------------------------------------------

void PostPool::release_from_next_chunk(Freed& freed, Block block) noexcept {
  if (kOneBlockAChunk || !begin_use() || chunk_of(block.chunk_and_slot)->home == nullptr) {
    tell(block.chunk_and_slot, 1);
    return;
  }
  const Freed before = std::exchange(freed, {block.chunk_and_slot, 1});
  if (before.blocks > 0) tell(before.chunk_and_slot, before.blocks);
}

// Tells the chunk that so many of its blocks are freed.
void PostPool::tell(std::uintptr_t chunk_and_slot, std::uint32_t blocks) noexcept {
  Chunk& chunk = *chunk_of(chunk_and_slot);
  if (chunk.live.fetch_sub(blocks, std::memory_order_acq_rel) == blocks) give_back(chunk);
}

void PostPool::give_back(Chunk& chunk) noexcept {
  Shared* const home = chunk.home;
  if (home == nullptr) return free_chunk(chunk);
  std::uintptr_t first = home->returned.load(std::memory_order_relaxed);
  if (home->kept.fetch_add(1, std::memory_order_relaxed) >= kMostKept) {
    home->kept.fetch_sub(1, std::memory_order_relaxed);
    first = kClosed;
  }
  do {
    if (first == kClosed) {
      free_chunk(chunk);
      break;
    }
    chunk.next = reinterpret_cast<Chunk*>(first);
  } while (!home->returned.compare_exchange_weak(first, reinterpret_cast<std::uintptr_t>(&chunk),
                                                 std::memory_order_release, std::memory_order_relaxed));
  home->release();
}

}  // namespace aiofiber::detail
