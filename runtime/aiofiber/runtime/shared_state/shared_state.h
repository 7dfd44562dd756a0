// SPDX-License-Identifier: Apache-2.0
//
// The search for state that tasks share without knowing it: static variables that one task has written, that
// another changes while the first is suspended, and that the first then uses; and lines of an output stream
// that another task cuts.
//
// For test runs: it watches the writable static data of the program by page protection, by stepping single
// instructions, and by comparing it at each switch of tasks. While it is off it costs nothing.
// runtime/shared_state/README.md says what it finds and what it cannot see.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace aiofiber::runtime::shared_state {

// Receives each report, when the task that used the state is suspended or ends, on that task's stack with its
// hooks off. Must not throw.
using Report = void (*)(const std::string& text) noexcept;

struct Options {
  // Parts of the paths of the modules whose data is watched. Empty: the program, and the libraries that are
  // not in the system's folders.
  std::vector<std::string> modules = {};
  // Names of variables that tasks share on purpose; "stdout", "stderr" or paths of output streams.
  std::vector<std::string> ignore = {};
  Report report = nullptr;  // null: to stderr
  // The most memory for what is noted. When it is reached, a page that a task uses for the first time is no
  // longer searched for that task; the search says so on stderr.
  std::size_t memory_bytes_max = std::size_t{1} << 30;
};

// Starts the search: it watches the first loop that switches to a task from now on, on its thread, until
// stop(). It says on stderr if it cannot work here (another processor than x86-64, a kernel before 5.11, a
// sanitizer of threads). Does nothing if it is on. Threads: any.
void start(Options options = {}) noexcept;
// Ends it. Call it on the thread that is watched. It may be started again.
void stop() noexcept;
// Each task keeps its own content of these bytes, in a way that the search does not know: a jmp_buf. They are
// no longer watched. Does nothing if the calling thread is not watched. Does not allocate or lock.
void leave_out(const void* begin, std::size_t bytes) noexcept;
// The number of reports so far.
std::size_t reports() noexcept;

// Once per process: starts it if AIOFIBER_SHARED_STATE is 1 (secure_getenv(3)). Other values of the variable
// are names of variables to ignore, separated by commas. AIOFIBER_SHARED_STATE_MIB is the most memory.
void start_from_environment() noexcept;

}  // namespace aiofiber::runtime::shared_state
