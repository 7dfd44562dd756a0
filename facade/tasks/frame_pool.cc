// SPDX-License-Identifier: Apache-2.0
//
// The lists of each thread, and their end with the thread.
#include "aiofiber/frame_pool.h"

#include <utility>

namespace aiofiber::detail {

constinit thread_local FramePool::Lists FramePool::own_{};

struct FramePool::AtThreadExit {
  AtThreadExit() noexcept { own_.frees_at_exit = true; }
  // Frames that are freed later, by other destructors of the thread, are not kept.
  ~AtThreadExit() {
    own_.frees_at_exit = false;
    for (List& kept : own_.lists) {
      while (Block* const block = kept.first) {
        kept.first = block->next;
        ::operator delete(block);
      }
      kept.count = kMostKept;
    }
  }
};

void FramePool::release_at_first_or_full(void* frame, std::size_t list) noexcept {
  List& kept = own_.lists[list];
  if (!own_.frees_at_exit && kept.count < kMostKept) {
    thread_local const AtThreadExit at_exit;
    static_cast<void>(at_exit);
    if (own_.frees_at_exit) {
      kept.first = new (frame) Block{kept.first};
      ++kept.count;
      return;
    }
  }
  ::operator delete(frame);
}

}  // namespace aiofiber::detail
