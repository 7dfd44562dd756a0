// SPDX-License-Identifier: Apache-2.0
//
// What the tasks are doing, seen from inside the process: the graph of waiting tasks (asyncio.graph of 3.14),
// dumps of all tasks on demand or on a signal, and a watchdog that reports what blocks a loop.
//
// A call graph begins at one future and goes up to its waiters, through gather(), wait(), task groups and so
// on. These functions only read the structures of the loop. Nothing is recorded for them, and no task runs.
// Threads: the loop's.
//
//     auto task = asyncio::create_task({.name = "poller"}, [] { asyncio::await(asyncio::sleep(1h)); });
//     asyncio::await(asyncio::sleep(0s));
//     std::ostringstream text;
//     asyncio::dump_tasks(text);
//     assert(text.str().find("Task 'poller'") != std::string::npos);
//     task.cancel();
#pragma once

#include <cstddef>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "aiofiber/future.h"
#include "aiofiber/task.h"

namespace aiofiber {

// One line of a call stack in a call graph.
struct FrameCallGraphEntry {
  Frame frame;  // where it stands
};

// A future or task, its stack, and its waiters.
struct FutureCallGraph {
  AnyFuture future;                             // whose graph this is
  std::vector<FrameCallGraphEntry> call_stack;  // the most recent call first; empty if it is not a task
  std::vector<FutureCallGraph> awaited_by;      // in the order in which they began to wait
  // Differs from asyncio: if tasks wait for each other in a ring, the graph ends at the task where it began,
  // and this flag is set.
  bool cycle = false;
};

// The call graph of `future`, or of the current task if the handle is empty. `depth`: leaves out the depth -
// 1 newest frames of the current task's own stack. `limit`: the number of frames kept of each stack: the
// newest if positive, the oldest if negative; 0: no stacks; nullopt: all. Returns nullopt in a callback,
// because no task runs there.
// Errors: RuntimeError: an empty handle, and no loop runs. Never suspends. Source:
// asyncio.capture_call_graph.
std::optional<FutureCallGraph> capture_call_graph(const AnyFuture& future = AnyFuture(),
                                                  std::size_t depth = 1,
                                                  std::optional<int> limit = std::nullopt);

// The same as text, in the layout of CPython 3.14; empty in a callback. Source: asyncio.format_call_graph.
std::string format_call_graph(const AnyFuture& future = AnyFuture(), std::size_t depth = 1,
                              std::optional<int> limit = std::nullopt);

// Writes the same text and a newline to `file`; nullptr: std::cout. Source: asyncio.print_call_graph.
void print_call_graph(const AnyFuture& future = AnyFuture(), std::ostream* file = nullptr,
                      std::size_t depth = 1, std::optional<int> limit = std::nullopt);

// Writes every task of every loop of the process: its state, name, stack, what it waits for and for how long.
// Tasks with the same stack are shown once. Loops of other threads go on meanwhile. Threads: any. Never
// suspends; takes milliseconds the first time.
void dump_tasks(std::ostream& out);

// Reports a task or callback that keeps the loop for longer than `limit`, while it still runs. The report is
// a WARNING in the log with the task's name, the system call that blocks it, and its stack. Time in which the
// loop's thread waits for a core does not count. The report is repeated after two times the limit, four
// times, and so on. In debug mode the watchdog is on, with slow_callback_duration as the limit. It is cheap
// enough for production: the loop itself does no work for it. Its helper thread uses SIGURG to look at a loop
// that computes. nullptr: the running loop. Threads: the loop's. Errors: RuntimeError: no running loop;
// ValueError: a limit that is not positive; std::system_error: no thread can be made.
void enable_watchdog(Duration limit = std::chrono::milliseconds(100), EventLoop* loop = nullptr);
// Switches the watchdog off; that of debug mode stays on.
void disable_watchdog(EventLoop* loop = nullptr);

// From now on the signal makes the process write what dump_tasks() writes. A separate thread writes it, so
// this works also while a loop hangs. The output goes to `fd` (default: stderr), which must stay open, or to
// the end of a file. A new file is readable by the owner only, unless `permissions` differ. The file must not
// be a symbolic link. Do not give the signal to add_signal_handler() too. Threads: any. Errors: RuntimeError:
// the signal cannot be caught, or the file cannot be opened. In a forked child the dump is off.
void enable_task_dump(int signo, int fd = 2);
void enable_task_dump(int signo, const std::string& path, unsigned permissions = 0600);

// From now on every loop of the process writes a timeline: one row for each loop, and one for each task with
// its runs, waits and wake-ups. The file is JSON for ui.perfetto.dev. An existing file is replaced. "%p" in
// the name stands for the process id. stop_trace() or exit() completes the file. Without either, its last
// line and the last tenth of a second are missing. AIOFIBER_TRACE=FILE does the same from the first loop on.
// A privileged program (setuid, setgid, file capabilities) ignores this variable. A new file is for the owner
// only, unless `permissions` differ. A symbolic link is an error, and only a regular file is emptied. A
// forked child does not trace until it calls start_trace(). Threads: any. Never suspends.
// Errors: RuntimeError: the file cannot be opened, or a trace is being written already.
void start_trace(const std::string& path, unsigned permissions = 0600);
// Completes the file. Returns the number of lost events, which came faster than they could be written; 0 if
// nothing was traced. Threads: any. Never suspends, but writes the rest of the events.
std::size_t stop_trace() noexcept;

// What detect_shared_state() looks at.
struct SharedStateOptions {
  std::vector<std::string> modules = {};  // parts of paths; empty: the program and its own libraries
  // Names of variables that are shared on purpose, "stdout", or paths of output streams.
  std::vector<std::string> ignore = {};
  // The most memory for what is noted. When it is reached, less is found, which is said on stderr.
  std::size_t memory_bytes_max = std::size_t{1} << 30;
};
// For test runs: searches for static variables that tasks share without knowing it. A WARNING in the log says
// which task wrote the variable where, which other task changed it while the first was suspended, and where
// the first then used it. A line of an output stream that another task cuts is told of, too. It watches the
// next loop that runs tasks, until stop_detecting_shared_state(). AIOFIBER_SHARED_STATE=1 does the same from
// the first loop on. A program that links aiofiber::instrumented tells of each access, and of its heap.
// runtime/shared_state/README.md says what is found and what is not. Where it cannot work
// (another processor than x86-64, Linux before 5.11), it says so on stderr. Threads: any. Never suspends.
void detect_shared_state(SharedStateOptions options = {});
// Threads: the one of the loop that is watched. Never suspends.
void stop_detecting_shared_state() noexcept;

}  // namespace aiofiber
