// SPDX-License-Identifier: Apache-2.0
//
// The functions of libc that can block the thread, by name: those that the hooks replace, so that they
// suspend the task, and those that stay, with advice for each.
#pragma once

#include <string>

namespace aiofiber::tool {

bool is_hooked(const std::string& name);

enum class Blocks {
  kAlways,     // its purpose is to wait
  kSometimes,  // on a FIFO, a slow disk, a full pipe: shown with --verbose
  kUnknown,    // it depends on the arguments
};

// Whether stdio suspends tasks: AIOFIBER_STDIO=1, hooks::enable_stdio().
enum class Stdio { kBlocks, kSuspends };

enum class WaitsFor { kOther, kLock, kFile };  // kFile: a call on any FILE, which suspends where stdio does

struct BlockingCall {
  const char* name;  // "x*": all that begin with x; "x*y" and "x*y*": with y at the end, or somewhere
  Blocks blocks;
  const char* advice;
  WaitsFor waits_for = WaitsFor::kOther;
};

// Null: it does not block, as far as is known. Hooked names are not in the table, except names that are
// hooked on request. If stdio suspends, only functions that always use the standard streams (getchar, printf)
// stay in the result.
const BlockingCall* find_blocking_call(const std::string& name, Stdio stdio);

// Whether a call of a function of libc suspends a task, or would block the thread: one that waits for
// something, not one that only might (a lock, a page of a file). A write to a FILE is none, because it waits
// only for a reader that is slow. The runtime's functions in which a task suspends are such calls, too.
bool is_wait(const std::string& name);

// Whether it is one of these functions of the runtime; or the one that calls them for a task that never goes
// on.
bool is_suspension(const std::string& name);
bool abandons_task(const std::string& name);

// The name of a system call that can block, by its number on this machine; null: it does not block, or is
// unknown here. `operation`: the operation of futex, -1 if it is not known.
const char* find_blocking_system_call(int number, int operation = -1);

}  // namespace aiofiber::tool
