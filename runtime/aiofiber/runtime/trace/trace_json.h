// SPDX-License-Identifier: Apache-2.0
//
// Turns events into the slices and arrows of a timeline. trace_text writes them.
//
// A task is a row, with a slice for each run, each wait (named after what it waits for) and each time in the
// ready queue. A loop is a row with its polls and callbacks. A slice is written when it ends, so slices of a
// task never overlap. An arrow is written when the woken task has run, so it always has both ends.
// Threads: one at a time. Errors: std::bad_alloc.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/trace/trace_text.h"

namespace aiofiber::runtime {

// An event in a ring. The kind decides which fields are valid.
struct TraceEvent {
  enum class Kind : std::uint8_t {
    kSwitch,    // subject: who leaves, in `state`, waiting for wait_kind and argument; object: who comes. 0:
                // the loop
    kWake,      // subject: the woken task; object: its waker
    kNameLow,   // subject's name: its first 16 bytes in object and argument ...
    kNameHigh,  // ... and the others
    kNumber,    // subject is called Task-<object>
    kMark,      // state: a LoopMark
    kLost,      // object: the number of events missing from here on
  };
  Nanoseconds time;  // in the ring a stamp (clock.h)
  std::uint64_t subject;
  std::uint64_t object;
  std::uint64_t argument;
  std::uint32_t wait_kind;
  Kind kind;
  std::uint8_t state;
};
static_assert(sizeof(TraceEvent) == 40);

class TraceJson {
 public:
  static constexpr std::uint64_t kTaskRows = kTraceTaskRows;

  // The state of one loop's thread between two of its events.
  struct Loop {
    std::uint32_t thread_id = 0;
    bool named = false;
    bool on_cpu = false;        // `running` is known
    std::uint64_t running = 0;  // a task's id; 0: the loop itself
    Nanoseconds since = 0;
    Nanoseconds poll_since = -1;  // -1: not polling
    Nanoseconds callback_since = -1;
  };

  // Times are shown relative to `start`.
  TraceJson(std::uint32_t process_id, Nanoseconds start) : text_(process_id, start) {}

  void begin(std::string_view process_name) { text_.begin(process_name); }
  // Sets the name of a task, before its first event or when it changes.
  void name(std::uint64_t id, std::string_view text);
  // Adds an event of a loop; call it in order.
  void add(Loop& loop, const TraceEvent& event);
  // Ends open slices: call it for each loop, then once for the tasks that still wait and the file.
  void end(Loop& loop, Nanoseconds now);
  void end(Nanoseconds now, std::uint64_t lost);

  // The text so far. The caller writes it and clears it.
  std::string& text() noexcept { return text_.text(); }

 private:
  enum class Phase : std::uint8_t { kUnknown, kRunning, kWaiting, kReady };
  struct Task {
    std::string name;
    bool named = false;  // in the file
    Phase phase = Phase::kUnknown;
    bool woken = false;  // waker and woken_at are valid
    std::uint32_t wait_kind = 0;
    std::uint64_t wait_argument = 0;
    std::string wait_text;  // wait_name() of the kind and argument below; empty: not made yet
    std::uint32_t text_kind = 0;
    std::uint64_t text_argument = 0;
    std::uint64_t waker_row = 0;
    std::uint32_t loop_thread = 0;
    bool arrow_comes = false;  // follows the current run: from arrow_row, at arrow_from
    std::uint64_t arrow_row = 0;
    Nanoseconds arrow_from = 0;
    Nanoseconds since = 0;  // of the phase
    Nanoseconds woken_at = 0;
  };

  void open(Loop& loop, std::uint64_t id, Nanoseconds now);
  void close(Loop& loop, Nanoseconds now);
  void leave(Loop& loop, const TraceEvent& event);
  void arrive(std::uint64_t id, Task& task, Nanoseconds now);
  void wake(Loop& loop, const TraceEvent& event);
  void mark(Loop& loop, const TraceEvent& event);
  void lose(Loop& loop, const TraceEvent& event);
  void wait_slices(std::uint64_t id, Task& task, Nanoseconds until);
  const std::string& wait_name(Task& task);

  Task& row_of(std::uint64_t id);
  void row_of(Loop& loop);

  Nanoseconds last_ = 0;
  static constexpr std::size_t kEndedKept = 4096;
  std::unordered_map<std::uint64_t, Task> tasks_;
  std::deque<std::uint64_t> ended_;  // those of tasks_ that have ended, oldest first
  TraceText text_;
};

}  // namespace aiofiber::runtime
