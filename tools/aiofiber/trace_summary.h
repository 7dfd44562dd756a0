// SPDX-License-Identifier: Apache-2.0
//
// What happened in a timeline: for each task its runs, its CPU and its longest run; the waits by what was
// waited for; how long after it was woken a task ran. Counts only: one pass over the lines, nothing kept of a
// slice.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "trace_file.h"

namespace aiofiber::tool {

// A number of stretches of time.
struct TraceTimes {
  std::uint64_t count = 0;
  std::int64_t total_ns = 0, longest_ns = 0;

  bool add(std::int64_t ns);  // true: it is the longest so far
  void add(const TraceTimes& other);
};

struct TraceRow {
  std::string name;
  std::uint64_t tasks = 1;           // that are counted here
  TraceTimes run, ready, wait;       // of a task
  TraceTimes poll, callback;         // of a loop
  std::uint64_t counted_runs = 0;    // of a sampled timeline: how often it ran, drawn or not ...
  std::uint64_t samples_on_cpu = 0;  // ... and was seen running
};

struct TraceWait {
  TraceTimes times;
  std::uint64_t longest_row = 0;  // whose wait was the longest
  std::string longest_name;       // and for what
};

class TraceSummary {
 public:
  void add(const TraceLine& line);

  std::string process_name;
  std::int64_t first_ns = 0, last_ns = 0;
  bool any_time = false;
  std::map<std::uint64_t, TraceRow> tasks, loops;  // by row
  std::map<std::string, TraceWait> waits;          // by kind of wait
  std::uint64_t lost = 0;
  std::uint64_t lost_places = 0;
  bool sampled = false;
  std::uint64_t interval_us = 0;
  std::string note;

  std::int64_t span_ns() const { return last_ns - first_ns; }
  std::size_t wakes() const { return latencies_.size(); }
  // From wake to run: so much or less in this part of the cases. 0 when there were none.
  std::int64_t latency_ns(double part);
  // Tasks whose names differ in their last number only, as one row "name*"; most CPU first.
  std::vector<TraceRow> rows_by_name(bool fold) const;

 private:
  void add_slice(const TraceLine& line);

  std::unordered_map<std::uint64_t, std::int64_t> open_arrows_;  // when each began
  std::vector<std::int64_t> latencies_;
};

}  // namespace aiofiber::tool
