// SPDX-License-Identifier: Apache-2.0
//
// The text of a timeline: the JSON trace event format that Chrome defined and Perfetto reads, an array with
// one event a line. Callers pass rows, slices and arrows; only this file knows the format.
//
// Used by the writer inside the process (trace_json) and by the command that samples another process. So it
// knows only the registry's words of the runtime. Threads: one at a time. Errors: std::bad_alloc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime {

// A task's row has the number kTaskRows + id, a loop's row that of its thread. kTaskRows is above all thread
// numbers, so they never collide.
inline constexpr std::uint64_t kTraceTaskRows = 10'000'000;

// "wait: fd 7 readable", "wait: task 'child'"; `awaited` is the name of the awaited task, if known.
std::string wait_slice_name(std::uint32_t kind, std::uint64_t argument, std::string_view awaited);

class TraceText {
 public:
  // Times are of CLOCK_MONOTONIC, and are shown relative to `start`.
  TraceText(std::uint32_t process_id, Nanoseconds start) : process_id_(process_id), start_(start) {}

  void begin(std::string_view process_name);
  void row_name(std::uint64_t row, std::string_view text);
  // A slice that began before `start` is cut there and marked.
  void slice(std::uint64_t row, std::string_view name, std::string_view category, Nanoseconds from,
             Nanoseconds to);
  // Both ends must lie on slices of their rows.
  void arrow(std::uint64_t from_row, Nanoseconds from, std::uint64_t to_row, Nanoseconds to);
  // Marks that this many events of the row's thread are missing from `at` on.
  void lost(std::uint64_t row, std::uint64_t events, Nanoseconds at);
  // For a sampled timeline. sampled(): the interval, and what sampling cannot show (the last such line
  // counts). task_counts(): how often the task ran, how many of its waits are in the file, in how many
  // samples it ran.
  void sampled(Nanoseconds interval, std::string_view note);
  void task_counts(std::uint64_t row, std::uint64_t runs, std::uint64_t waits_drawn,
                   std::uint64_t samples_on_cpu);
  // Writes the last line; nothing may follow.
  void end(std::uint64_t lost);

  // The text so far. The caller writes it and clears it.
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
