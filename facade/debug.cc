// SPDX-License-Identifier: Apache-2.0
//
// The facade of the runtime's dumps: asyncio's exceptions instead of the system's.
#include "aiofiber/debug.h"

#include <ostream>
#include <system_error>

#include "aiofiber/runtime/dump_on_signal.h"
#include "aiofiber/runtime/task_dump.h"

namespace aiofiber {

void dump_tasks(std::ostream& out) {
  out << runtime::format_task_dump();
  out.flush();
}

namespace {
template <class Place>
void enable(int signo, const Place& place) {
  try {
    runtime::enable_task_dump(signo, place);
  } catch (const std::system_error& error) {
    throw RuntimeError(error.what());
  }
}
}  // namespace

void enable_task_dump(int signo, int fd) { enable(signo, fd); }
void enable_task_dump(int signo, const std::string& path) { enable(signo, path); }

}  // namespace aiofiber
