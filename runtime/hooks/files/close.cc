// SPDX-License-Identifier: Apache-2.0
//
// Calls that close descriptors: close, dup2, dup3, and those that close inside libc (fclose, pclose,
// close_range, closefrom). dup is here because cut_off.h needs it.
//
// Tasks that wait for the descriptor are woken with EBADF *before* the number can be reused; on Linux they
// would keep waiting for a file without a number. These hooks act on every thread, because the reactor must
// see every close. Only what a child of vfork closes is still open for the tasks of its parent. pclose
// suspends: it waits for a child. If a task is inside the FILE (AIOFIBER_STDIO=1), fclose, freopen and pclose
// wait until it has left; its call fails, so it leaves at once.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>

#include "aiofiber/runtime/engine/fd_wait.h"
#include "aiofiber/runtime/engine/offload.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "hooks/core/act.h"
#include "hooks/core/cut_off.h"
#include "hooks/core/descriptor_notes.h"
#include "hooks/core/fd_kind.h"
#include "hooks/core/known_settings.h"
#include "hooks/core/real.h"
#include "hooks/core/vforked_child.h"
#include "hooks/files/files_on_pool.h"
#include "hooks/stdio/stdio_occupant.h"

namespace aiofiber::hooks {

namespace {

// dup2 of a closed descriptor fails and does not change the other descriptor or its waiters.
bool is_open(int fd) noexcept {
  const int saved_errno = errno;
  const bool open = real::fcntl64(fd, F_GETFD, nullptr) >= 0;
  errno = saved_errno;
  return open;
}

// Whether it matters here that this very process closes the descriptor: a wait would end, or a close be noted
// for a report. Nothing else that a close does to our memory is wrong if it did not happen, only asked again.
bool is_of_consequence(int fd) noexcept {
  if (runtime::descriptor_use::noting()) return true;
  runtime::Scheduler* const scheduler = runtime::Scheduler::current();
  bool is_awaited = false;
  if (scheduler != nullptr)
    scheduler->reactor().for_each_waiter(fd, [&](const runtime::FdWaiter&) { is_awaited = true; });
  return is_awaited;
}

void before_close(int fd) noexcept {
  if (fd < 0 || stands_aside) return;
  if (is_of_consequence(fd) && in_vforked_child()) return;  // the second one is a system call
  const int saved_errno = errno;
  if (runtime::descriptor_use::noting() && is_open(fd)) note_closing(fd);
  runtime::fd_closing(fd);
  set_fd_kind(fd, FdKind::kUnknown);
  known_settings::forget(fd);
  errno = saved_errno;
}

// A range usually reaches to the highest number: only numbers that can be open are checked.
void before_close_range(unsigned first, unsigned last) noexcept {
  const long limit = ::sysconf(_SC_OPEN_MAX);
  const unsigned end = limit > 0 && limit < INT_MAX ? static_cast<unsigned>(limit) : 65536u;
  for (unsigned fd = first; fd <= last && fd < end; ++fd) {
    const Closing closing(static_cast<int>(fd));
    before_close(static_cast<int>(fd));
  }
}

// The file may be a FIFO or on a busy disk (files_on_pool.h). Called once: a failure has closed the FILE.
template <class Open>
std::FILE* opened_again(Open open) {
  return goes_to_pool() ? on_pool_to_the_end_once<std::FILE*>(nullptr, open) : open();
}

int noted_duplicate(int fd, int made) noexcept {
  note_duplicate(fd, made);
  return noted_opened(made);
}

int descriptor_of(std::FILE* file) noexcept {
  if (file == nullptr) return -1;
  const int saved_errno = errno;
  const int fd = ::fileno(file);
  errno = saved_errno;
  return fd;
}

// False with errno EBUSY: a task is inside the FILE, and the caller cannot wait for it (a loop's callback, a
// closing loop). Then the FILE stays open, because closing it would free memory that the task uses.
bool before_file_close(std::FILE* file) {
  if (file == nullptr) return true;
  for (;;) {
    const bool occupied = is_occupied(file);
    if (occupied && !can_wait_for_stdio()) {
      errno = EBUSY;
      return false;
    }
    before_close(::fileno(file));
    if (!occupied) return true;
    wait_until_left(file);
  }
}

// Whether the FILE can be closed: no task is inside it. First flushes it. The text may be a good-bye, which a
// given-up connection sends only while it is open (cut_off.h).
bool ready_to_close(std::FILE* file) {
  if (!before_file_close(file)) return false;
  if (file == nullptr || detail::given_up_count.load(std::memory_order_relaxed) == 0) return true;
  const int saved_errno = errno;
  std::fflush(file);
  errno = saved_errno;
  return before_file_close(file);  // another task may have entered during the flush
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;
namespace runtime = aiofiber::runtime;

extern "C" {

int close(int fd) {
  const Closing closing(fd);
  before_close(fd);
  return real::close(fd);
}

int dup(int fd) noexcept { return noted_duplicate(fd, real::dup(fd)); }

int dup2(int from, int to) noexcept {
  if (from == to || !is_open(from)) return real::dup2(from, to);
  const Closing closing(to);
  before_close(to);
  return noted_duplicate(from, real::dup2(from, to));
}

int dup3(int from, int to, int flags) noexcept {
  if (from == to || (flags & ~O_CLOEXEC) != 0 || !is_open(from)) return real::dup3(from, to, flags);
  const Closing closing(to);
  before_close(to);
  return noted_duplicate(from, real::dup3(from, to, flags));
}

int fclose(std::FILE* file) {
  if (!ready_to_close(file)) return EOF;
  const Closing closing(descriptor_of(file));
  return real::fclose(file);
}

std::FILE* freopen(const char* path, const char* mode, std::FILE* file) {
  if (!ready_to_close(file)) return nullptr;
  const Closing closing(descriptor_of(file));
  return opened_again([=] { return real::freopen(path, mode, file); });
}

std::FILE* freopen64(const char* path, const char* mode, std::FILE* file) {
  if (!ready_to_close(file)) return nullptr;
  const Closing closing(descriptor_of(file));
  return opened_again([=] { return real::freopen64(path, mode, file); });
}

int pclose(std::FILE* file) {
  if (!before_file_close(file)) return -1;
  if (!acts() || runtime::current_fiber()->unwinding) return real::pclose(file);
  // Waits for the child also if the task is cancelled; otherwise the stream would be lost.
  int status = -1;
  const bool closed = without_throwing(
      [&] { status = runtime::offload([=] { return real::pclose(file); }, runtime::OffloadPool::waits()); });
  return closed ? status : real::pclose(file);
}

int close_range(unsigned first, unsigned last, int flags) noexcept {
  if (first <= last && (static_cast<unsigned>(flags) & CLOSE_RANGE_CLOEXEC) == 0)
    before_close_range(first, last);
  return real::close_range(first, last, flags);
}

void closefrom(int first) noexcept {
  before_close_range(static_cast<unsigned>(std::max(first, 0)), UINT_MAX);
  real::closefrom(first);
}

}  // extern "C"
