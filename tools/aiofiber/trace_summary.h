// SPDX-License-Identifier: Apache-2.0
//
// A summary of a timeline: for each task its runs, CPU time and longest run; the waits by kind of object; and
// the times from wake-up to run. It counts in one pass over the lines and keeps no slices.
#pragma once

#include <absl/container/btree_map.h>

#include <cstdint>
#include <string>
#include <vector>

#include "trace_file.h"

namespace aiofiber::tool {

// Statistics of durations.
struct TraceTimes {
  std::uint64_t count = 0;
  std::int64_t total_ns = 0, longest_ns = 0;

  bool add(std::int64_t ns);  // true: it is the longest so far
  void add(const TraceTimes& other);
};

struct TraceRow {
  std::string name;
  std::uint64_t tasks = 1;           // counted in this row
  TraceTimes run, ready, wait;       // of a task
  TraceTimes poll, callback;         // of a loop
  std::uint64_t counted_runs = 0;    // in a sampled timeline: the number of runs, drawn or not
  std::uint64_t samples_on_cpu = 0;  // ... and of samples that saw it running
};

struct TraceWait {
  TraceTimes times;
  std::uint64_t longest_row = 0;  // the row with the longest wait
  std::string longest_name;       // and its object
};

class TraceSummary {
 public:
  void add(const TraceLine& line);

  std::string process_name;
  std::int64_t first_ns = 0, last_ns = 0;
  bool any_time = false;
  absl::btree_map<std::uint64_t, TraceRow> tasks, loops;  // by row
  absl::btree_map<std::string, TraceWait> waits;          // by kind of wait
  std::uint64_t lost = 0;
  std::uint64_t lost_places = 0;
  bool sampled = false;
  std::uint64_t interval_us = 0;
  std::string note;

  std::int64_t span_ns() const { return last_ns - first_ns; }
  std::size_t wakes() const { return latencies_.size(); }
  // The time from wake-up to run for this part of the cases, or less. 0 when there were none.
  std::int64_t latency_ns(double part);
  // Tasks whose names differ only in their last number, as one row "name*"; most CPU first.
  std::vector<TraceRow> rows_by_name(bool fold) const;

 private:
  void add_slice(const TraceLine& line);

  absl::btree_map<std::uint64_t, std::int64_t> open_arrows_;  // when each began
  std::vector<std::int64_t> latencies_;
};

}  // namespace aiofiber::tool
