// SPDX-License-Identifier: Apache-2.0
//
// Reads the timelines that aiofiber writes (trace_text.h of the runtime), line by line. If the program was
// killed in the middle of a line, all lines before it are used.
//
// RapidJSON parses the JSON of a line. This file checks which lines are allowed. Traces of other programs are
// refused.
#pragma once

#include <absl/functional/function_ref.h>

#include <cstdint>
#include <string>

namespace aiofiber::tool {

struct TraceLine {
  enum class Kind {
    kProcessName,  // name
    kRowName,      // row, name
    kSlice,        // row, name, category, begin_ns, duration_ns
    kArrowBegin,   // row, arrow, begin_ns
    kArrowEnd,     // row, arrow, begin_ns
    kLost,         // row, begin_ns; name has the number
    kSampled,      // name is the note; interval_us
    kTaskCounts,   // row, runs, samples
    kEnd,          // lost
    kUnknown,      // of a newer aiofiber
  };
  Kind kind = Kind::kUnknown;
  std::string name, category;
  std::uint64_t row = 0, arrow = 0, runs = 0, samples = 0, lost = 0, interval_us = 0;
  std::int64_t begin_ns = 0, duration_ns = 0;
};

struct TraceFileEnd {
  bool complete = false;      // its writer ended it
  std::uint64_t lines = 0;    // lines that were used
  std::uint64_t bytes = 0;    // of the file
  std::uint64_t cut_off = 0;  // bytes of an incomplete last line
};

// Calls use(line) for each line, in the order of the file. Errors: kCore: there is no such file, it cannot be
// read, or it is no timeline of aiofiber (the message has the line and the error).
TraceFileEnd read_trace_file(const std::string& path, absl::FunctionRef<void(const TraceLine&)> use);

}  // namespace aiofiber::tool
