// SPDX-License-Identifier: Apache-2.0
//
// Which task is suspended inside which FILE, and how other tasks are kept out.
//
// A FILE's lock knows only threads. So it lets every task of the thread in while one of them is suspended
// inside, for example in fgets. Two things keep them apart. While a task is suspended inside, the FILE's
// pointers say "nothing to read, no room to write", so each access calls one of the FILE's operations. And
// each operation first waits until that task is out. A resumed task runs on until it has left stdio or is
// suspended inside the same FILE again. So the FILE is consistent at the beginning of an operation.
//
// Threads: the FILE's lock keeps other threads out, so all data here belong to one thread.
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

// Whether the caller may use the FILE. Suspends while another task of this thread is suspended inside it.
// False with errno set: ECANCELED; EBUSY if waiting is impossible: in a loop's callback, under
// hooks::Disable, while the loop closes or the program ends.
bool enter_stdio(std::FILE* file);

// Whether another task of this thread is suspended inside.
bool is_occupied(std::FILE* file) noexcept;
// False in a loop's callback, under hooks::Disable, while the loop closes or the program ends.
bool can_wait_for_stdio() noexcept;
// Suspends until no task is inside, or until the loop closes. A cancellation does not end it.
void wait_until_left(std::FILE* file);

// During its lifetime the task is inside the FILE and may be suspended. Lifetime: a local of the task.
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
  char* const read_end_;  // the FILE's own pointers, while ours are in their place
  char* const write_end_;
  void* wide_read_end_ = nullptr;
  void* wide_write_end_ = nullptr;
  StdioOccupant* next_ = nullptr;
};

// In a forked child: no task is inside any FILE.
void forget_stdio_occupants() noexcept;

}  // namespace aiofiber::hooks
