// SPDX-License-Identifier: Apache-2.0
//
// Reservations, guards, and the two lists of idle stacks.
#include "aiofiber/runtime/stack.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <stdexcept>
#include <utility>

#include "aiofiber/runtime/syscall.h"

#if AIOFIBER_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace aiofiber::runtime {

namespace {

constexpr int kMadvGuardInstall = 102;  // MADV_GUARD_INSTALL of <linux/mman.h> since 6.13

// A reservation is as large as all slots of its class so far, between these bounds.
constexpr std::size_t kMinReservationBytes = std::size_t{4} << 20;
constexpr std::size_t kMaxReservationBytes = std::size_t{1} << 30;
// Idle warm stacks that are always kept, and the number of releases between two looks at the rest.
constexpr std::size_t kWarmFloor = 64;
constexpr std::uint32_t kReleasesBetweenTrims = 1024;

// Guards that are still to be by mprotect, in the whole process.
std::atomic<std::size_t> mprotect_guards_left{kMprotectGuards};
// Cleared for good by the first refusal of MADV_GUARD_INSTALL (EINVAL: the kernel does not know it).
std::atomic<bool> guard_install_works{true};

// Takes one of the mprotect guards that are left. Threads that race for the last take a few more.
bool take_mprotect_guard() noexcept {
  const std::size_t left = mprotect_guards_left.load(std::memory_order_relaxed);
  if (left == 0) return false;
  mprotect_guards_left.store(left - 1, std::memory_order_relaxed);
  return true;
}

void install_guard(char* low, std::size_t bytes) {
  if (take_mprotect_guard() && sys::protect(low, bytes, PROT_NONE) == 0) return;
  if (guard_install_works.load(std::memory_order_relaxed)) {
    if (sys::advise(low, bytes, kMadvGuardInstall) == 0) return;
    if (errno != EINVAL)
      throw StackError("cannot guard a fiber stack: the kernel is out of memory for MADV_GUARD_INSTALL");
    guard_install_works.store(false, std::memory_order_relaxed);
  }
  if (sys::protect(low, bytes, PROT_NONE) != 0) {
    throw StackError(
        "cannot guard a fiber stack with mprotect: too many mappings. Raise vm.max_map_count (two mappings a "
        "stack), "
        "or use Linux 6.13 or newer, where guards cost no mapping");
  }
}

}  // namespace

void StackPool::set_mprotect_guards(std::size_t count) noexcept {
  mprotect_guards_left.store(count, std::memory_order_relaxed);
  guard_install_works.store(true, std::memory_order_relaxed);
}

std::uint8_t StackPool::size_class(std::size_t bytes) {
  if (bytes == 0) bytes = kDefaultStackBytes;
  if (bytes > kMaxStackBytes) {
    throw std::length_error("stack_size is beyond the largest fiber stack of 1 GiB");
  }
  bytes = std::max(bytes, kMinStackBytes);
  return static_cast<std::uint8_t>(std::bit_width(bytes - 1) - std::bit_width(kMinStackBytes - 1));
}

std::size_t StackPool::class_bytes(std::uint8_t size_class) noexcept { return kMinStackBytes << size_class; }

std::size_t StackPool::guard_bytes(std::uint8_t size_class) noexcept {
  return std::max(kPageBytes, std::min(class_bytes(size_class) / 16, std::size_t{64} * 1024));
}

StackPool::~StackPool() {
  // An abandoned fiber's stack may still be referred to (a waiter in some future's list): keep them all.
  if (in_use_ > 0) return;
  for (const Reservation& reservation : reservations_) {
#if AIOFIBER_ASAN
    __asan_unpoison_memory_region(reservation.base, reservation.bytes);
#endif
    sys::unmap(reservation.base, reservation.bytes);
  }
}

void StackPool::reserve(SizeClass& size, std::uint8_t size_class) {
  const std::size_t slot = class_bytes(size_class);
  std::size_t bytes = std::clamp(size.slots * slot, kMinReservationBytes, kMaxReservationBytes);
  bytes = std::max(bytes, slot);
  const std::size_t slots = bytes / slot;
  // All vectors get their room now, so that giving a stack back never allocates.
  size.warm.reserve(size.slots + slots);
  size.cold.reserve(size.slots + slots);
  reservations_.reserve(reservations_.size() + 1);

  void* base = sys::map_anonymous(slots * slot);
  if (base == MAP_FAILED) {
    throw StackError(
        "cannot reserve address space for fiber stacks: see ulimit -v and vm.overcommit_memory, or use a "
        "smaller stack_size");
  }
  sys::advise(base, slots * slot, MADV_NOHUGEPAGE);  // a huge page would commit 2 MiB for one small stack
  reservations_.push_back({static_cast<char*>(base), slots * slot});
  reserved_bytes_ += slots * slot;
  size.fresh_next = static_cast<char*>(base);
  size.fresh_end = size.fresh_next + slots * slot;
  size.slots += slots;
}

char* StackPool::fresh_slot(SizeClass& size, std::uint8_t size_class) {
  try {
    if (size.fresh_next == size.fresh_end) reserve(size, size_class);
    install_guard(size.fresh_next, guard_bytes(size_class));
  } catch (const StackError& error) {
    // Only a stack that comes back ends the exhaustion, so there must be one that can.
    if (in_use_ > 0) exhausted_ = error.what();
    throw;
  }
  return std::exchange(size.fresh_next, size.fresh_next + class_bytes(size_class));
}

Stack StackPool::acquire(std::uint8_t size_class) {
  SizeClass& size = classes_[size_class];
  char* low = nullptr;
  if (!size.warm.empty()) {
    low = size.warm.back();
    size.warm.pop_back();
  } else if (!size.cold.empty()) {
    low = size.cold.back();
    size.cold.pop_back();
  } else {
    low = fresh_slot(size, size_class);
  }
  ++size.in_use;
  ++in_use_;
  size.in_use_peak = std::max(size.in_use_peak, size.in_use);
  return Stack{low, low + class_bytes(size_class), size_class};
}

void StackPool::release(Stack stack) noexcept {
#if AIOFIBER_ASAN
  // A stack that was left by an exception or abandoned keeps poison that its next user would trip over.
  const std::size_t guard = guard_bytes(stack.size_class);
  __asan_unpoison_memory_region(stack.low + guard, stack.bytes() - guard);
#endif
  SizeClass& size = classes_[stack.size_class];
  size.warm.push_back(stack.low);
  --size.in_use;
  --in_use_;
  exhausted_ = nullptr;
  if (++size.releases >= kReleasesBetweenTrims) trim(size, stack.size_class);
}

// Keeps as many warm stacks as the peak since the last trim could want again; the others, oldest first,
// give their pages back.
void StackPool::trim(SizeClass& size, std::uint8_t size_class) noexcept {
  const std::size_t wanted = std::max(kWarmFloor, size.in_use_peak - std::min(size.in_use_peak, size.in_use));
  if (size.warm.size() > wanted) {
    const std::size_t surplus =
        std::min(size.warm.size() - wanted, static_cast<std::size_t>(kReleasesBetweenTrims));
    const std::size_t guard = guard_bytes(size_class);
    for (std::size_t i = 0; i < surplus; ++i) {
      sys::advise(size.warm[i] + guard, class_bytes(size_class) - guard, MADV_DONTNEED);
      size.cold.push_back(size.warm[i]);
    }
    size.warm.erase(size.warm.begin(), size.warm.begin() + static_cast<std::ptrdiff_t>(surplus));
  }
  size.in_use_peak = size.in_use;
  size.releases = 0;
}

std::size_t StackPool::stacks_warm() const noexcept {
  std::size_t warm = 0;
  for (const SizeClass& size : classes_) warm += size.warm.size();
  return warm;
}

}  // namespace aiofiber::runtime
