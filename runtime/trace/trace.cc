// SPDX-License-Identifier: Apache-2.0
//
// The functions that the scheduler calls: each adds its event to the ring of the calling thread.
#include "aiofiber/runtime/trace/trace.h"

#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "trace/trace_ring.h"
#include "trace/trace_writer.h"

namespace aiofiber::runtime {

constinit std::atomic<std::uint8_t> watchers{0};

namespace {

constinit std::atomic<SwitchWatcher> switch_watcher{nullptr};

bool timeline_is_on() noexcept { return (watchers.load(std::memory_order_relaxed) & kTimelineWatches) != 0; }

// The stamp of an event, until the writer converts it to a time.
Nanoseconds stamp() noexcept { return static_cast<Nanoseconds>(Stamps::now()); }

constinit thread_local TraceRing* own_ring = nullptr;
constinit thread_local bool no_ring = false;  // the thread is ending, or there was no memory

// In the child, the old ring belongs to the parent's writer: the thread gets a new one if it traces.
constinit ForkHandler own_ring_at_fork{ForkStep::kTrace, {.child = []() noexcept { own_ring = nullptr; }}};

struct RingOwner {
  RingOwner() = default;
  RingOwner(const RingOwner&) = delete;
  RingOwner& operator=(const RingOwner&) = delete;
  ~RingOwner() {
    no_ring = true;
    if (TraceRing* ring = std::exchange(own_ring, nullptr))
      ring->abandoned.store(true, std::memory_order_release);
  }
};

AIOFIBER_NOINLINE TraceRing* make_ring() noexcept {
  if (no_ring) return nullptr;
  thread_local const RingOwner owner;
  static_cast<void>(owner);
  const HooksOff hooks_off;
  try {
    at_fork(own_ring_at_fork);
    own_ring = &add_trace_ring();
  } catch (const std::bad_alloc&) {
    no_ring = true;
    std::fprintf(stderr, "aiofiber: trace: no memory for the events of a thread, which will be missing\n");
  }
  return own_ring;
}

inline void push(const TraceEvent& event) noexcept {
  TraceRing* const ring = own_ring != nullptr ? own_ring : make_ring();
  if (ring != nullptr && ring->push(event)) wake_trace_writer();
}

void push_name(const aiofiber_record& record, Nanoseconds stamped) noexcept {
  TraceEvent event{stamped, record.id, record.name_number, 0, 0, TraceEvent::Kind::kNumber, 0};
  if (record.name[0] == '\0') {
    if (record.name_number != 0) push(event);
    return;
  }
  static_assert(sizeof record.name == 2 * (sizeof event.object + sizeof event.argument));
  const std::size_t length = ::strnlen(record.name, sizeof record.name);
  for (const std::size_t at : {std::size_t{0}, std::size_t{16}}) {
    if (at > length) break;
    event.kind = at == 0 ? TraceEvent::Kind::kNameLow : TraceEvent::Kind::kNameHigh;
    std::memcpy(&event.object, record.name + at, 8);
    std::memcpy(&event.argument, record.name + at + 8, 8);
    push(event);
  }
}

}  // namespace

// ---- hooks

void set_switch_watcher(SwitchWatcher watcher) noexcept {
  switch_watcher.store(watcher, std::memory_order_release);
  if (watcher != nullptr) {
    watchers.fetch_or(kSwitchWatcherWatches, std::memory_order_relaxed);
  } else {
    watchers.fetch_and(static_cast<std::uint8_t>(~kSwitchWatcherWatches), std::memory_order_relaxed);
  }
}

void trace_switch(const aiofiber_record& from, const aiofiber_record& to) noexcept {
  const bool timeline = timeline_is_on();  // read before the watcher closes the program's data
  if (const SwitchWatcher watcher = switch_watcher.load(std::memory_order_acquire)) watcher(from, to);
  if (!timeline) return;
  const Nanoseconds time = stamp();
  if (to.id != 0 && to.switches <= 1) push_name(to, time);  // the hub has the id 0
  push({time, from.id, to.id, from.wait_arg, from.wait_kind, TraceEvent::Kind::kSwitch,
        static_cast<std::uint8_t>(from.state)});
}

void trace_wake(const aiofiber_record& woken, const aiofiber_record* waker) noexcept {
  if (!timeline_is_on()) return;
  push({stamp(), woken.id, waker != nullptr ? waker->id : 0, 0, 0, TraceEvent::Kind::kWake, 0});
}

void trace_name(const aiofiber_record& record) noexcept {
  if (timeline_is_on()) push_name(record, stamp());
}

void trace_loop(LoopMark mark) noexcept {
  if (!timeline_is_on()) return;
  push({stamp(), 0, 0, 0, 0, TraceEvent::Kind::kMark, static_cast<std::uint8_t>(mark)});
}

}  // namespace aiofiber::runtime
