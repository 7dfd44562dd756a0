// SPDX-License-Identifier: Apache-2.0
//
// What the hooks tell debug mode about descriptors (runtime/inspect/descriptor_use.h).
//
// Outside debug mode each function is little more than one read. What a signal handler does is not noted,
// because a note may allocate. Threads: any. errno is kept.
#pragma once

#include <cerrno>

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/inspect/descriptor_use.h"
#include "hooks/core/act.h"
#include "hooks/core/known_settings.h"
#include "hooks/core/locals.h"
#include "hooks/core/signals.h"

namespace aiofiber::hooks {

namespace detail {

inline bool notes_descriptors() noexcept {
  return runtime::descriptor_use::noting() && !stands_aside && !in_signal_handler();
}

// Of the current task; null outside of tasks, or without memory.
inline runtime::descriptor_use::Recent* recent_descriptors() noexcept {
  runtime::descriptor_use::Recent* recent = nullptr;
  if (act() != nullptr) without_throwing([&] { recent = &get_locals().recent_descriptors; });
  return recent;
}

}  // namespace detail

// Call it in a task.
inline void note_use(int fd) noexcept {
  if (!detail::notes_descriptors()) return;
  const int saved_errno = errno;
  if (auto* recent = detail::recent_descriptors()) runtime::descriptor_use::note_use(fd, *recent);
  errno = saved_errno;
}

inline void note_closing(int fd) noexcept {
  if (!detail::notes_descriptors()) return;
  const int saved_errno = errno;
  runtime::descriptor_use::note_closing(fd, detail::recent_descriptors());
  errno = saved_errno;
}

// `fd`: what a call has returned; also -1. Returns it.
inline int noted_opened(int fd) noexcept {
  known_settings::forget(fd);  // a raw system call may have closed the number
  if (fd < 0 || !detail::notes_descriptors()) return fd;
  const int saved_errno = errno;
  runtime::descriptor_use::note_opened(fd, detail::recent_descriptors());
  errno = saved_errno;
  return fd;
}

}  // namespace aiofiber::hooks
