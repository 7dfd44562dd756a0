// SPDX-License-Identifier: Apache-2.0
//
// PostPool: memory of the callbacks that threads hand to loops.
//
// One thread allocates them and another frees them. That costs malloc a lock, and each write of one thread to
// a cache line of the other costs more than the callback. So a thread cuts its callbacks from chunks of
// 4 KiB, one after the other. A thread that frees callbacks counts them by itself. It tells a chunk when it
// comes to the next chunk of the same thread. Who frees the last block gives the chunk back to the thread
// that filled it. For any threads X and Y, if X frees a block and Y gets its memory, everything X did before
// happens before what Y does after.
//
// A callback whose Handle is kept keeps its chunk. A thread keeps at most kMostKept free chunks, and up to
// kSlots of other threads that wait for its count. Under AddressSanitizer a chunk has one block and is freed
// with it, so that it sees each use of a freed one. Not for users. Threads: any.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::detail {

class PostPool {
 public:
  // The largest block, and the alignment of all.
  static constexpr std::size_t kLargest = 504;
  static constexpr std::size_t kAlignment = 8;

  // Throws std::bad_alloc. Precondition: bytes <= kLargest.
  static void* allocate(std::size_t bytes) {
    const std::size_t stride = stride_of(bytes);
    Own& own = own_;
    if (AIOFIBER_UNLIKELY(static_cast<std::size_t>(own.end - own.next) < stride))
      return allocate_from_next_chunk(stride);
    return cut(own, stride);
  }
  static void release(void* memory) noexcept {
    const Block block = static_cast<Block*>(memory)[-1];
    Freed& freed = own_.freed[block.chunk_and_slot % kSlots];
    if (AIOFIBER_LIKELY(freed.chunk_and_slot == block.chunk_and_slot)) {
      ++freed.blocks;
    } else {
      release_from_next_chunk(freed, block);
    }
  }
  // True once for each chunk that the thread begins while kMostAhead of its chunks are still in use.
  static bool far_ahead() noexcept {
    Own& own = own_;
    if (AIOFIBER_LIKELY(!own.far_ahead)) return false;
    own.far_ahead = false;
    return true;
  }

 private:
  struct Shared;
  // A chunk begins with this line; blocks follow.
  struct alignas(runtime::kCacheLineBytes) Chunk {
    // Blocks that are not freed; kFilling more while its thread cuts blocks from it.
    std::atomic<std::uint32_t> live;
    Shared* home;  // of the thread that fills it; null: it is freed after its only block
    Chunk* next;   // in a list of free chunks
  };
  // In front of each block: its chunk, plus the slot in which other threads count what they free of it.
  // Each thread that fills chunks has one slot.
  struct Block {
    std::uintptr_t chunk_and_slot;
  };
  static_assert(sizeof(Block) == kAlignment);
  // Blocks that this thread has freed, of which the chunk does not know.
  struct Freed {
    std::uintptr_t chunk_and_slot = 0;
    std::uint32_t blocks = 0;
  };
  static constexpr std::size_t kSlots = 8;
  static_assert(kSlots <= alignof(Chunk));
  // What the thread alone uses.
  struct Own {
    char* next = nullptr;  // the rest of the chunk that it fills
    char* end = nullptr;
    std::uintptr_t filling = 0;  // that chunk, plus the thread's slot; 0: none
    std::uint32_t cut = 0;       // blocks of that chunk
    bool far_ahead = false;
    bool counts = false;  // `freed` is in use, until the thread ends
    Chunk* free = nullptr;
    Shared* shared = nullptr;  // null before its first block, and when it ends
    Freed freed[kSlots];
  };
  struct AtThreadExit;

  static constexpr std::size_t kChunkBytes = 4096;
  static constexpr std::uint32_t kFilling = 1u << 30;
  static constexpr std::uint32_t kMostKept = 64;
  static constexpr std::uint32_t kMostAhead = 64;
  static constexpr bool kOneBlockAChunk = AIOFIBER_ASAN;

  // Whole cache lines: the loop works on one callback while the thread makes the next.
  static constexpr std::size_t stride_of(std::size_t bytes) noexcept {
    return (bytes + sizeof(Block) + runtime::kCacheLineBytes - 1) & ~(runtime::kCacheLineBytes - 1);
  }
  static Chunk* chunk_of(std::uintptr_t chunk_and_slot) noexcept {
    return reinterpret_cast<Chunk*>(chunk_and_slot & ~std::uintptr_t{kSlots - 1});
  }
  static void* cut(Own& own, std::size_t stride) noexcept {
    auto* const block = new (own.next) Block{own.filling};
    own.next += stride;
    ++own.cut;
    return block + 1;
  }
  static void* allocate_from_next_chunk(std::size_t stride);
  static void release_from_next_chunk(Freed& freed, Block block) noexcept;
  static void* allocate_alone(std::size_t stride);
  static bool begin_use() noexcept;
  static void finish_filling(Own& own) noexcept;
  static void tell(std::uintptr_t chunk_and_slot, std::uint32_t blocks) noexcept;
  static void give_back(Chunk& chunk) noexcept;
  static void free_chunk(Chunk& chunk) noexcept;
  static void free_list(Chunk* first) noexcept;

  static constinit thread_local Own own_;
};

}  // namespace aiofiber::detail
