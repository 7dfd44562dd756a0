// SPDX-License-Identifier: Apache-2.0
//
// The events of one thread, on their way to the writer.
//
// A full ring drops the newest events and counts them. A ring outlives its thread until the writer has
// emptied it. It stays with its thread when a trace ends, because a hook may be running at that moment.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/trace/trace_json.h"

namespace aiofiber::runtime {

// The writer, on another CPU, was the last to read the ring's memory. Stores to it wait in the store buffer.
// The next locked instruction (the kernel has several in each system call) waits for them. So the cache lines
// are fetched some events ahead.
inline constexpr std::size_t kTraceFetchAhead = 8;

// One producer, the thread that owns the ring, and one consumer, the holder of the writer's mutex. Head and
// tail are published with release and read with acquire, so the consumer sees whole events.
class TraceRing {
 public:
  explicit TraceRing(std::size_t capacity)
      : events_(new TraceEvent[capacity]), capacity_(capacity), mask_(capacity - 1) {
    // `capacity` is a power of two.
    loop.thread_id = static_cast<std::uint32_t>(::syscall(SYS_gettid));
  }

  // Called by the producer. True: wake the consumer, because half of the ring is full.
  bool push(const TraceEvent& event) noexcept {
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    const std::size_t wanted = missing_ > 0 ? 2 : 1;
    if (head - tail_seen_ + wanted > capacity_) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
      if (head - tail_seen_ + wanted > capacity_) {
        if (missing_++ == 0) missing_since_ = event.time;
        lost_.fetch_add(1, std::memory_order_relaxed);
        return false;
      }
    }
    if (missing_ > 0) {
      events_[head & mask_] = {missing_since_, 0, missing_, 0, 0, TraceEvent::Kind::kLost, 0};
      missing_ = 0;
    }
    events_[(head + wanted - 1) & mask_] = event;
    arch::fetch_for_writing(&events_[(head + kTraceFetchAhead) & mask_]);
    head_.store(head + wanted, std::memory_order_release);
    return ((head ^ (head + wanted)) & (capacity_ / 2)) != 0;
  }

  // Called by the consumer.
  template <class Use>
  void drain(Use use) {
    std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    for (const std::uint64_t head = head_.load(std::memory_order_acquire); tail < head; ++tail) {
      use(events_[tail & mask_]);
      if (tail % 256 == 0) tail_.store(tail + 1, std::memory_order_release);  // makes room before all is read
    }
    tail_.store(tail, std::memory_order_release);
  }
  std::uint64_t take_lost() noexcept { return lost_.exchange(0, std::memory_order_relaxed); }

  std::atomic<bool> abandoned{false};  // its thread has ended
  TraceJson::Loop loop;                // for the consumer only, like ...
  Nanoseconds written_until = 0;       // ... the time of its last event

 private:
  const std::unique_ptr<TraceEvent[]> events_;
  const std::size_t capacity_;
  const std::size_t mask_;
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> head_{0};
  std::uint64_t tail_seen_ = 0;  // for the producer only, like all here but head_ and lost_
  std::uint64_t missing_ = 0;    // dropped since the last event that found room
  Nanoseconds missing_since_ = 0;
  std::atomic<std::uint64_t> lost_{0};
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> tail_{0};
};

}  // namespace aiofiber::runtime
