// SPDX-License-Identifier: Apache-2.0
//
// The thread's table, and the pointers of a FILE that make each access call its operations.
#include "hooks/stdio/stdio_occupant.h"

#include <cerrno>
#include <cstdint>

#include "hooks/core/act.h"
#include "hooks/glibc/stdio_tables.h"
#include "hooks/locks/lock_queue.h"
#include "hooks/stdio/stdio_switch.h"

namespace aiofiber::hooks {

namespace detail {
constinit thread_local unsigned stdio_occupants __attribute__((tls_model("initial-exec"))) = 0;
}

// Found by the FILE's address. A thread uses few FILEs at once, and a chain is a list on the tasks' stacks.
class StdioOccupants {
 public:
  static StdioOccupant*& chain_of(const std::FILE* file) noexcept {
    return chains_[(reinterpret_cast<std::uintptr_t>(file) >> 4) % kChains];
  }
  static StdioOccupant* find(const std::FILE* file) noexcept {
    StdioOccupant* at = chain_of(file);
    while (at != nullptr && at->file_ != file) at = at->next_;
    return at;
  }
  static void insert(StdioOccupant& occupant) noexcept {
    StdioOccupant*& first = chain_of(occupant.file_);
    occupant.next_ = first;
    first = &occupant;
    ++detail::stdio_occupants;
  }
  static void remove(StdioOccupant& occupant) noexcept {
    StdioOccupant** at = &chain_of(occupant.file_);
    while (*at != nullptr && *at != &occupant) at = &(*at)->next_;
    if (*at == nullptr) return;  // removed in a forked child
    *at = occupant.next_;
    --detail::stdio_occupants;
  }
  static void forget() noexcept {
    for (StdioOccupant*& chain : chains_) chain = nullptr;
    detail::stdio_occupants = 0;
  }

 private:
  static constexpr std::size_t kChains = 64;
  static constinit thread_local StdioOccupant* chains_[kChains] __attribute__((tls_model("initial-exec")));
};

constinit thread_local StdioOccupant* StdioOccupants::chains_[kChains] = {};

StdioOccupant::StdioOccupant(std::FILE* file, runtime::Fiber* fiber) noexcept
    : file_(file), fiber_(fiber), read_end_(file->_IO_read_end), write_end_(file->_IO_write_end) {
  file->_IO_read_end = file->_IO_read_ptr;
  file->_IO_write_end = file->_IO_write_ptr;
  if (WidePointers* wide = wide_pointers(file)) {
    wide_read_end_ = wide->read_end;
    wide_write_end_ = wide->write_end;
    wide->read_end = wide->read_ptr;
    wide->write_end = wide->write_ptr;
  }
  StdioOccupants::insert(*this);
}

StdioOccupant::~StdioOccupant() {
  file_->_IO_read_end = read_end_;
  file_->_IO_write_end = write_end_;
  if (WidePointers* wide = wide_pointers(file_)) {
    wide->read_end = wide_read_end_;
    wide->write_end = wide_write_end_;
  }
  StdioOccupants::remove(*this);
  // Wakes all: the next task may leave the FILE without being suspended in it, and then wakes no waiter.
  if (lock_waiters_exist()) wake_lock_waiters(file_, kAllWaiters);
}

bool can_wait_for_stdio() noexcept {
  const runtime::Fiber* fiber = act();
  return fiber != nullptr && !fiber->unwinding && !stdio_is_ending();
}

bool is_occupied(std::FILE* file) noexcept {
  if (!stdio_occupants_exist()) return false;
  const StdioOccupant* occupant = StdioOccupants::find(file);
  return occupant != nullptr && occupant->fiber() != runtime::current_fiber();
}

bool enter_stdio(std::FILE* file) {
  if (!is_occupied(file)) return true;
  if (!can_wait_for_stdio()) {
    errno = EBUSY;
    return false;
  }
  const int errno_at_start = errno;
  const int result =
      wait_for_lock(file, {}, runtime::kForever, true, false, [=] { return is_occupied(file) ? EBUSY : 0; });
  errno = result == 0 ? errno_at_start : result == kMustBlock ? EBUSY : result;
  return result == 0;
}

void wait_until_left(std::FILE* file) {
  wait_for_lock(file, {}, runtime::kForever, false, false, [=] { return is_occupied(file) ? EBUSY : 0; });
}

void forget_stdio_occupants() noexcept { StdioOccupants::forget(); }

}  // namespace aiofiber::hooks
