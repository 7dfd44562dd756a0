// SPDX-License-Identifier: Apache-2.0
//
// The words for what a task waits for (enum aiofiber_wait of the registry). A new kind needs a new line here.
//
// Shared by the reports inside the process and by the aiofiber command, so that both use the same words.
// Header only.
#pragma once

#include <cstdint>
#include <iterator>
#include <string>

#include "aiofiber/runtime/inspect/registry_abi.h"

namespace aiofiber::runtime {

struct WaitKind {
  const char* name;    // in JSON
  const char* what;    // follows "waiting for "
  bool through_watch;  // wait_arg equals watched_by of the awaited tasks
};

inline constexpr WaitKind kWaitKinds[] = {
    {"none", "nothing", false},
    {"sleep", "sleep", false},
    {"fd", "fd", false},
    {"task", "task", false},
    {"future", "future", false},
    {"offload", "a call on the thread pool", false},
    {"other", "something", false},
    {"gather", "gather", true},
    {"shield", "shield", true},
    {"wait", "wait", true},
    {"as_completed", "as_completed", true},
    {"task_group", "task group", true},
    {"lock", "lock", false},
    {"event", "event", false},
    {"condition", "condition", false},
    {"semaphore", "semaphore", false},
    {"queue_get", "an item in the queue", false},
    {"queue_put", "room in the queue", false},
    {"thread", "a call on another thread", false},
    {"queue_join", "the last item of the queue to be done", false},
    {"barrier", "barrier", false},
    {"file_lock", "a lock on fd", false},
    {"process", "process", false},
    {"thread_end", "the end of thread", false},
};
static_assert(std::size(kWaitKinds) == AIOFIBER_WAIT_THREAD_END + 1);

// A kind that is not known here (the program is newer than the command) counts as "other".
constexpr const WaitKind& wait_kind(std::uint32_t kind) noexcept {
  return kWaitKinds[kind < std::size(kWaitKinds) ? kind : static_cast<std::uint32_t>(AIOFIBER_WAIT_OTHER)];
}

// The events of a wait for a descriptor, from its wait_arg: " readable", " readable or writable"; empty when
// unknown.
constexpr const char* wait_events(std::uint64_t wait_arg) noexcept {
  constexpr const char* kEvents[] = {"", " readable", " writable", " readable or writable"};
  return kEvents[wait_arg & 3];
}

// ` and 2 more`; empty for a wait on one descriptor.
inline std::string wait_others(std::uint64_t wait_arg) {
  const std::uint64_t others = (wait_arg & 0xffffffff) >> 8;
  return others == 0 ? "" : " and " + std::to_string(others) + " more";
}

// For kinds that have a number instead of an address: sets `text` to what follows `what`, ` 5`. False for
// others.
inline bool wait_number(std::uint32_t kind, std::uint64_t arg, std::string& text) {
  if (kind == AIOFIBER_WAIT_FILE_LOCK) {
    text = ' ' + std::to_string(arg >> 32);
  } else if (kind == AIOFIBER_WAIT_PROCESS || kind == AIOFIBER_WAIT_THREAD_END) {
    text = arg != 0 ? ' ' + std::to_string(arg) : "";
  } else {
    return false;
  }
  return true;
}

}  // namespace aiofiber::runtime
