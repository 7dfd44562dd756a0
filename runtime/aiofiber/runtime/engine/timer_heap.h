// SPDX-License-Identifier: Apache-2.0
//
// Timers: a 4-ary heap on the scheduler's clock, FIFO among equal deadlines.
//
// A timer is a node that its owner embeds (on a fiber's stack, or in a TimerHandle). Starting one may grow
// the heap's array; cancelling and expiring never allocate. Cancelling removes the entry at once, because
// most timeouts are started and then cancelled.
// A node must be cancelled or expired before it is destroyed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/runnable.h"

namespace aiofiber::runtime {

struct Timer : Runnable {
  using Runnable::Runnable;
  static constexpr std::uint32_t kIdle = UINT32_MAX;

  bool armed() const noexcept { return heap_index != kIdle; }

  Nanoseconds deadline = 0;
  std::uint32_t heap_index = kIdle;  // position in the heap while armed; owned by TimerHeap
};

class TimerHeap {
 public:
  // Arms the timer; it must not be armed. Throws std::bad_alloc and then leaves it idle.
  void start(Timer& timer, Nanoseconds deadline);
  // Disarms it; an idle timer stays idle.
  void cancel(Timer& timer) noexcept;

  bool empty() const noexcept { return entries_.empty(); }
  std::size_t size() const noexcept { return entries_.size(); }
  // The earliest deadline, or kForever.
  Nanoseconds next_deadline() const noexcept {
    return entries_.empty() ? kForever : entries_.front().deadline;
  }
  // Takes out the earliest timer if it is due at `now`, else null. A timer is due when deadline <= now. A
  // Chooser decides among equal deadlines.
  Timer* pop_due(Nanoseconds now) noexcept;

 private:
  struct Entry {
    Nanoseconds deadline;
    std::uint64_t sequence;  // order of start: makes equal deadlines FIFO
    Timer* timer;

    bool before(const Entry& other) const noexcept {
      return deadline != other.deadline ? deadline < other.deadline : sequence < other.sequence;
    }
  };

  void place(std::size_t index, const Entry& entry) noexcept {
    entries_[index] = entry;
    entry.timer->heap_index = static_cast<std::uint32_t>(index);
  }
  void sift_up(std::size_t index, Entry entry) noexcept;
  void sift_down(std::size_t index, Entry entry) noexcept;
  void remove(std::size_t index) noexcept;
  AIOFIBER_NOINLINE std::size_t choose_first() const noexcept;

  std::vector<Entry> entries_;
  std::uint64_t next_sequence_ = 0;
};

}  // namespace aiofiber::runtime
