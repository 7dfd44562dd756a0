// SPDX-License-Identifier: Apache-2.0
//
// Memory of coroutine frames: a thread keeps a few freed ones for the next coroutines.
//
// A coroutine that is awaited and ends at once costs an allocation, which is most of its time. Frames up to
// 512 bytes are kept in lists by size, at most 64 of each size for each thread. A frame may be freed by
// another thread than that which made it. Under AddressSanitizer nothing is kept, so that it sees each use of
// a freed frame. Not for users.
#pragma once

#include <cstddef>
#include <new>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::detail {

class FramePool {
 public:
  static void* allocate(std::size_t bytes) {
    const std::size_t list = list_of(bytes);
    if (AIOFIBER_LIKELY(list < kLists)) {
      List& kept = own_.lists[list];
      if (Block* const block = kept.first; AIOFIBER_LIKELY(block != nullptr)) {
        kept.first = block->next;
        --kept.count;
        return block;
      }
      bytes = (list + 1) * kStep;
    }
    return ::operator new(bytes);
  }
  static void release(void* frame, std::size_t bytes) noexcept {
    const std::size_t list = list_of(bytes);
    if (AIOFIBER_LIKELY(list < kLists)) {
      List& kept = own_.lists[list];
      if (AIOFIBER_LIKELY(kept.count < kMostKept && own_.frees_at_exit)) {
        kept.first = new (frame) Block{kept.first};
        ++kept.count;
        return;
      }
      release_at_first_or_full(frame, list);
      return;
    }
    ::operator delete(frame);
  }

 private:
  static constexpr std::size_t kStep = 16;
  static constexpr std::size_t kLists = AIOFIBER_ASAN ? 0 : 32;
  static constexpr std::size_t kMostKept = 64;
  struct Block {
    Block* next;
  };
  struct List {
    Block* first = nullptr;
    std::size_t count = 0;
  };
  struct Lists {
    List lists[kLists == 0 ? 1 : kLists];
    bool frees_at_exit = false;  // the thread's end frees what is kept
  };
  static constexpr std::size_t list_of(std::size_t bytes) noexcept { return (bytes - 1) / kStep; }
  static void release_at_first_or_full(void* frame, std::size_t list) noexcept;
  struct AtThreadExit;

  static constinit thread_local Lists own_;
};

}  // namespace aiofiber::detail
