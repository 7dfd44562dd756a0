// SPDX-License-Identifier: Apache-2.0
//
// The words for what a task waits for (enum aiofiber_wait of the registry).
#pragma once

#include <cstdint>

namespace aiofiber::tool {

struct WaitKind {
  const char* name;   // in JSON
  const char* what;   // "for " stands before it
  bool through_watch;  // wait_arg equals watched_by of the tasks that are waited for
};

// A kind that this command does not know, because the program is newer, is one of "other".
const WaitKind& wait_kind(std::uint32_t kind);

}  // namespace aiofiber::tool
