// SPDX-License-Identifier: Apache-2.0
//
// The text of a timeline, line by line: the JSON trace event format that Chrome defined and Perfetto reads,
// an array with one event a line. Whoever knows what happened says it in rows, slices and arrows; how that is
// spelled is known here alone.
//
// Used by the writer inside the process (trace_json) and by the command that samples one from outside, so it
// knows of the runtime no more than the registry's words. Threads: one at a time. Errors: std::bad_alloc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime {

// Rows of tasks are numbered kTaskRows + id, those of loops by their thread: above any thread's id, so that
// they never meet.
inline constexpr std::uint64_t kTraceTaskRows = 10'000'000;

// "wait: fd 7 readable", "wait: task 'child'"; `awaited` is the name of the task that is waited for, if it is
// one and known.
std::string wait_slice_name(std::uint32_t kind, std::uint64_t argument, std::string_view awaited);

class TraceText {
 public:
  // Times are of CLOCK_MONOTONIC, and are shown relative to `start`.
  TraceText(std::uint32_t process_id, Nanoseconds start) : process_id_(process_id), start_(start) {}

  void begin(std::string_view process_name);
  void row_name(std::uint64_t row, std::string_view text);
  // What began before `start` is cut there, and says so.
  void slice(std::uint64_t row, std::string_view name, std::string_view category, Nanoseconds from,
             Nanoseconds to);
  // Its ends must lie on slices of their rows.
  void arrow(std::uint64_t from_row, Nanoseconds from, std::uint64_t to_row, Nanoseconds to);
  // So many events of the row's thread are missing from `at` on.
  void lost(std::uint64_t row, std::uint64_t events, Nanoseconds at);
  // Of a timeline that was sampled: how often, and what it cannot show (the last such line counts); of a
  // task, how often it ran, how many of its waits are in the file, and in how many samples it was seen
  // running.
  void sampled(Nanoseconds interval, std::string_view note);
  void task_counts(std::uint64_t row, std::uint64_t runs, std::uint64_t waits_drawn,
                   std::uint64_t samples_on_cpu);
  // The last line; nothing may follow.
  void end(std::uint64_t lost);

  // The text so far, to be written and cleared.
  std::string& text() noexcept { return text_; }

 private:
  class Line;
  void begin_metadata(std::string_view name, std::uint64_t row);
  void number(std::uint64_t value);
  void quoted(std::string_view text);

  const std::uint32_t process_id_;
  const Nanoseconds start_;
  std::uint64_t arrows_ = 0;
  std::string text_;
};

}  // namespace aiofiber::runtime
