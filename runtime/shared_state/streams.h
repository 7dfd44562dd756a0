// SPDX-License-Identifier: Apache-2.0
//
// Output streams of libc that tasks share: a task writes a part of a line and is suspended, and another task
// writes into the same stream. Then the line is cut.
//
// A stream has no owner and its buffer is on the heap, so the watch over variables does not see it. It is
// looked at after each step instead: a step has written to a stream if its buffer has got more text. What
// lies in the buffer says whether the last line is whole. Locks play no part: who holds one over the wait
// keeps the other task from writing.
//
// What was flushed before the wait, and what went to an unbuffered stream (stderr), is no longer in a buffer.
// It is seen if the step's calls of the kernel were looked at.
//
// Not seen: wide streams, and those of open_memstream(). Bytes that are no text are no line.
//
// Threads: the watched one. Others may open and close streams, but what they write is not told apart.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "aiofiber/runtime/inspect/registry_abi.h"
#include "shared_state/outputs.h"

namespace aiofiber::runtime::shared_state {

struct Calls;

struct CutLine {
  std::string stream;  // "stdout", "stderr", a path, or "fd 7"
  std::string part;    // the end of what the first task had written
  aiofiber_record first{};
  const Calls* suspended = nullptr;  // where the first was suspended
  aiofiber_record second{};
  const Calls* after = nullptr;  // where the second was suspended, or ended, after it had written
};

class Streams {
 public:
  // `ignore`: "stdout", "stderr", or paths, of streams that tasks share on purpose.
  explicit Streams(std::vector<std::string> ignore) : ignore_(std::move(ignore)) {}

  // A step of the task has ended, here. `goes_on`: the task will continue after it. The record with id 0 is
  // the loop itself, or nobody: what has changed since the last look is only taken note of. `outputs`: what
  // it has given to the kernel, as far as that is known.
  void end_step(const aiofiber_record& task, const Calls* here, bool goes_on,
                std::span<const Output> outputs) noexcept;
  // Each stream is told of once.
  const std::vector<CutLine>& findings() const noexcept { return findings_; }
  void clear_findings() noexcept { findings_.clear(); }

 private:
  struct Stream {
    int fd = -1;
    const char* buffer = nullptr;
    const char* begin = nullptr;  // of what is buffered
    const char* end = nullptr;
    std::array<char, 16> beyond{};  // what lay in the buffer after the end
    std::size_t beyond_bytes = 0;
    aiofiber_record writer{};  // of an unfinished line; id 0: none
    std::string part;          // of that line
    const Calls* suspended = nullptr;
    bool told = false;
    std::uint64_t seen = 0;  // the look that found it in libc's list
  };
  void look_at(const std::FILE* file, const aiofiber_record& task, const Calls* here, bool goes_on,
               std::span<const Output> outputs);
  static void forget_if_closed(const std::FILE* file, Stream& stream) noexcept;
  static bool has_got_text(const std::FILE* file, const Stream& stream) noexcept;
  static void note_buffer(const std::FILE* file, Stream& stream) noexcept;
  void add_finding(const std::FILE* file, Stream& stream, const aiofiber_record& second, const Calls* after);

  std::vector<std::string> ignore_;
  std::unordered_map<const std::FILE*, Stream> streams_;
  std::uint64_t looks_ = 0;
  std::vector<CutLine> findings_;
};

}  // namespace aiofiber::runtime::shared_state
