// SPDX-License-Identifier: Apache-2.0
//
// Descriptors that one task closes while another one uses them, noted while a loop is in debug mode; and the
// reports.
//
// Code that had one thread closes a descriptor when it is done with it. In tasks another one may wait for
// that descriptor, or keep its number and use it again, when the number is another file. Two things are
// reported: a close of a descriptor for which another task waits; and the use of a number that, since the
// task's last use of it, another task has closed and another has opened again. The second may be meant: the
// new descriptor was handed to the task, as by a pool of connections. Nothing is reported if the task itself
// closed the old one or opened the new one, or if nobody saw who opened it.
//
// A task remembers its last few descriptors. While debug mode is off, a call costs one read.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime::descriptor_use {

namespace detail {
extern constinit std::atomic<std::uint32_t> wanted;  // calls of start() without a stop()
}
// The last `report` is used. Reports are made on the stack of the task concerned, with its hooks off.
// Threads: any.
using Report = void (*)(const std::string& text) noexcept;
void start(Report report) noexcept;
void stop() noexcept;

inline bool noting() noexcept {
  return AIOFIBER_UNLIKELY(detail::wanted.load(std::memory_order_relaxed) != 0);
}

// What a task has used last. Belongs to the task.
struct Recent {
  struct Use {
    int fd = -1;
    std::uint32_t closes = 0;  // of the number, when it was used: Reactor::close_count()
  };
  std::array<Use, 8> uses;
  std::size_t oldest = 0;
};

// For the hooks; `recent`: of the current task; null outside of tasks.
// The descriptor will be closed. Call it before the waiters are woken. Reports each place once.
void note_closing(int fd, Recent* recent) noexcept;
void note_opened(int fd, Recent* recent) noexcept;
// Call it in a task before the use. Reports each place once.
void note_use(int fd, Recent& recent) noexcept;

}  // namespace aiofiber::runtime::descriptor_use
