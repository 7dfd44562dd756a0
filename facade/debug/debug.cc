// SPDX-License-Identifier: Apache-2.0
//
// The facade of the runtime's dumps and searches, with asyncio's exceptions instead of the system's.
#include "aiofiber/debug.h"

#include <ostream>
#include <system_error>
#include <utility>

#include "aiofiber/event_loop.h"
#include "aiofiber/log.h"
#include "aiofiber/runtime/inspect/dump_on_signal.h"
#include "aiofiber/runtime/inspect/task_dump.h"
#include "aiofiber/runtime/shared_state/shared_state.h"
#include "aiofiber/runtime/trace/trace.h"

namespace aiofiber {

void dump_tasks(std::ostream& out) {
  out << runtime::format_task_dump();
  out.flush();
}

void enable_watchdog(Duration limit, EventLoop* loop) {
  if (limit <= Duration()) throw ValueError("enable_watchdog() needs a limit above zero");
  detail::LoopCore& core = (loop != nullptr ? *loop : get_running_loop()).core();
  core.watchdog_limit = limit;
  core.update_watchdog();
}

void disable_watchdog(EventLoop* loop) {
  detail::LoopCore& core = (loop != nullptr ? *loop : get_running_loop()).core();
  core.watchdog_limit.reset();
  core.update_watchdog();
}

namespace {
template <class... Place>
void enable(int signo, const Place&... place) {
  try {
    runtime::enable_task_dump(signo, place...);
  } catch (const std::system_error& error) {
    throw RuntimeError(error.what());
  }
}
}  // namespace

void enable_task_dump(int signo, int fd) { enable(signo, fd); }
void enable_task_dump(int signo, const std::string& path, unsigned permissions) {
  enable(signo, path, permissions);
}

void start_trace(const std::string& path, unsigned permissions) {
  try {
    runtime::start_trace(path, runtime::kTraceEventsPerThread, permissions);
  } catch (const std::system_error& error) {
    throw RuntimeError(error.what());
  }
}

void detect_shared_state(SharedStateOptions options) {
  runtime::shared_state::start(
      {.modules = std::move(options.modules),
       .ignore = std::move(options.ignore),
       .report = [](const std::string& text) noexcept { detail::log(LogLevel::WARNING, text); },
       .memory_bytes_max = options.memory_bytes_max});
}

void stop_detecting_shared_state() noexcept { runtime::shared_state::stop(); }

std::size_t stop_trace() noexcept { return runtime::stop_trace(); }

}  // namespace aiofiber
