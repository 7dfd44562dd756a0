// SPDX-License-Identifier: Apache-2.0
//
// aiofiber trace PID|FILE: records the timeline of a process from outside, or summarises a written timeline.
#pragma once

#include <sys/types.h>

#include <ostream>
#include <string>
#include <vector>

namespace aiofiber::tool {

struct TraceOptions {
  pid_t pid = 0;                 // 0: read the file
  std::string file;              // the input
  std::string output;            // the output; empty: trace-PID.json
  double seconds = 0;            // 0: until Ctrl-C, or the process ends
  double interval = 0;           // seconds between two samples; 0: the default
  bool readable_by_all = false;  // the output file
  bool json = false;
  bool verbose = false;
};

// The whole command; `words` follow its name. Errors: Failure.
void trace(const std::vector<std::string>& words, std::ostream& out);

// Its two halves.
void record_trace(const TraceOptions& options, std::ostream& out);
void report_trace(const TraceOptions& options, std::ostream& out);

}  // namespace aiofiber::tool
