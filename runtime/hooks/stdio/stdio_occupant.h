// SPDX-License-Identifier: Apache-2.0
//
// Which task is suspended inside which FILE, and how the others are kept out.
//
// A FILE's lock knows threads, so it lets every task of the thread in while one of them is suspended in the
// middle of, say, fgets. Two things keep them apart. The FILE's pointers say "nothing to read, no room to
// write" as long as a task is suspended inside, so that whatever is done with the FILE ends up in one of its
// operations; and each operation begins by waiting until that task is out. A task that comes back from its
// suspension runs on until it has left stdio or is suspended inside the same FILE again, so at the beginning
// of an operation the FILE is whole.
//
// Threads: the FILE's lock keeps other threads out, so all of this is the thread's own.
#pragma once

#include <cstdio>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/fiber.h"

namespace aiofiber::hooks {

namespace detail {
// How many tasks of this thread are suspended inside a FILE.
extern constinit thread_local unsigned stdio_occupants __attribute__((tls_model("initial-exec")));
}  // namespace detail

inline bool stdio_occupants_exist() noexcept { return AIOFIBER_UNLIKELY(detail::stdio_occupants != 0); }

// Whether the caller may go on with the FILE. Suspends while another task of this thread is suspended inside
// it. False with errno set: ECANCELED; EBUSY where nothing can be waited for, that is in a loop's callback,
// under hooks::Disable, while the loop closes or the program ends.
bool enter_stdio(std::FILE* file);

// Whether a task of this thread other than the current one is suspended inside.
bool is_occupied(std::FILE* file) noexcept;
// False in a loop's callback, under hooks::Disable, while the loop closes or the program ends.
bool can_wait_for_stdio() noexcept;
// Suspends until nobody is inside, or until the loop closes. A cancellation does not end it.
void wait_until_left(std::FILE* file);

// While it lives the task is inside the FILE and may be suspended. Lifetime: a local of the task.
class StdioOccupant {
 public:
  StdioOccupant(std::FILE* file, runtime::Fiber* fiber) noexcept;
  ~StdioOccupant();
  StdioOccupant(const StdioOccupant&) = delete;
  StdioOccupant& operator=(const StdioOccupant&) = delete;

  std::FILE* file() const noexcept { return file_; }
  runtime::Fiber* fiber() const noexcept { return fiber_; }

 private:
  friend class StdioOccupants;
  std::FILE* const file_;
  runtime::Fiber* const fiber_;
  char* const read_end_;  // the FILE's own, as long as ours stand in their place
  char* const write_end_;
  void* wide_read_end_ = nullptr;
  void* wide_write_end_ = nullptr;
  StdioOccupant* next_ = nullptr;
};

// In a forked child: no task is inside any FILE.
void forget_stdio_occupants() noexcept;

}  // namespace aiofiber::hooks
