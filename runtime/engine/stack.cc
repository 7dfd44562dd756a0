// SPDX-License-Identifier: Apache-2.0
//
// Reservations, guards, and the two lists of idle stacks.
//
// A slot is found from its stack by arithmetic in its reservation. Its neighbours in memory are its
// neighbours in the array, so runs are found without sorting.
#include "aiofiber/runtime/engine/stack.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <stdexcept>
#include <utility>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/engine/assert.h"
#include "aiofiber/runtime/engine/syscall.h"

#if AIOFIBER_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace aiofiber::runtime {

namespace {

constexpr int kMadvGuardInstall = 102;  // MADV_GUARD_INSTALL of <linux/mman.h> since 6.13

// A reservation is as large as all slots of its class so far, between these bounds.
constexpr std::size_t kMinReservationBytes = std::size_t{4} << 20;
constexpr std::size_t kMaxReservationBytes = std::size_t{1} << 30;

std::atomic<std::size_t> process_guard_bytes{kMinGuardBytes};
std::atomic<Nanoseconds> process_idle_time{kDefaultStackIdleTime};
constinit std::atomic<std::size_t> process_reserved_bytes{0};

// How many more guards of the process are made by mprotect.
std::atomic<std::size_t> mprotect_guards_left{kMprotectGuards};
// Cleared for good by the first refusal of MADV_GUARD_INSTALL (EINVAL: the kernel does not know it).
std::atomic<bool> guard_install_works{true};

// Takes one of the remaining mprotect guards. Threads that race for the last one may take a few more.
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
  bytes = std::max({bytes, kMinStackBytes, arch::kLargestPageBytes});
  return static_cast<std::uint8_t>(std::bit_width(bytes - 1) - std::bit_width(kMinStackBytes - 1));
}

std::size_t StackPool::class_bytes(std::uint8_t size_class) noexcept { return kMinStackBytes << size_class; }

StackPool::StackPool() noexcept : guard_bytes_(default_guard_bytes()), idle_time_(default_idle_time()) {}

void StackPool::set_default_guard_bytes(std::size_t bytes) {
  if (bytes < kMinGuardBytes || bytes > kMaxGuardBytes) {
    throw std::length_error("the guard of a fiber stack is 64 KiB to 1 GiB");
  }
  const std::size_t page = sys::page_bytes();
  process_guard_bytes.store((bytes + page - 1) / page * page, std::memory_order_relaxed);
}

std::size_t StackPool::default_guard_bytes() noexcept {
  return process_guard_bytes.load(std::memory_order_relaxed);
}

void StackPool::set_default_idle_time(Nanoseconds time) noexcept {
  process_idle_time.store(std::max<Nanoseconds>(time, 0), std::memory_order_relaxed);
}

std::size_t StackPool::reserved_bytes_in_process() noexcept {
  return process_reserved_bytes.load(std::memory_order_relaxed);
}

Nanoseconds StackPool::default_idle_time() noexcept {
  return process_idle_time.load(std::memory_order_relaxed);
}

StackPool::~StackPool() {
  for (const Reservation& reservation : reservations_) {
    sys::unmap(reservation.slots, reservation.slots_bytes);
    // Something may still refer to an abandoned fiber's stack (a waiter in a future's list): keep them all.
    if (in_use_ > 0) continue;
    process_reserved_bytes.fetch_sub(reservation.bytes, std::memory_order_relaxed);
#if AIOFIBER_ASAN
    __asan_unpoison_memory_region(reservation.base, reservation.bytes);
#endif
    sys::unmap(reservation.base, reservation.bytes);
  }
}

// ---- slots ------------------------------------------------------------------------------------------------

void StackPool::reserve(SizeClass& size, std::uint8_t size_class) {
  const std::size_t slot = slot_bytes(size_class);
  std::size_t bytes = std::clamp(size.slots * slot, kMinReservationBytes, kMaxReservationBytes);
  bytes = std::max(bytes, slot);
  const std::size_t count = bytes / slot;
  reservations_.reserve(reservations_.size() + 1);

  // Reserve room in all lists now, so that releasing a stack never allocates.
  const std::size_t slots_bytes = (count + 2) * sizeof(Slot);
  void* const slots = sys::map_anonymous(slots_bytes);
  void* const base = slots != MAP_FAILED ? sys::map_anonymous(count * slot) : MAP_FAILED;
  if (base == MAP_FAILED) {
    if (slots != MAP_FAILED) sys::unmap(slots, slots_bytes);
    throw StackError(
        "cannot reserve address space for fiber stacks: see ulimit -v and vm.overcommit_memory, or use a "
        "smaller stack_size");
  }
  sys::advise(base, count * slot, MADV_NOHUGEPAGE);  // a huge page would commit 2 MiB for one small stack
  char* const low = static_cast<char*>(base);
  const auto at =
      std::upper_bound(reservations_.begin(), reservations_.end(), low,
                       [](const char* address, const Reservation& r) { return address < r.base; });
  last_found_ = static_cast<std::size_t>(at - reservations_.begin());
  reservations_.insert(at, {low, count * slot, slot, static_cast<Slot*>(slots), slots_bytes});
  reserved_bytes_ += count * slot;
  process_reserved_bytes.fetch_add(count * slot, std::memory_order_relaxed);
  size.fresh_next = low;
  size.fresh_end = low + count * slot;
  size.slots += count;
}

char* StackPool::fresh_stack(SizeClass& size, std::uint8_t size_class) {
  try {
    if (size.fresh_next == size.fresh_end) reserve(size, size_class);
    install_guard(size.fresh_next, guard_bytes_);
  } catch (const StackError& error) {
    // Only a released stack ends the exhaustion, so one must be in use.
    if (in_use_ > 0) exhausted_ = error.what();
    throw;
  }
  return std::exchange(size.fresh_next, size.fresh_next + slot_bytes(size_class)) + guard_bytes_;
}

bool StackPool::owns(std::uintptr_t address) const noexcept {
  return std::any_of(reservations_.begin(), reservations_.end(), [address](const Reservation& reservation) {
    const auto base = reinterpret_cast<std::uintptr_t>(reservation.base);
    return address >= base && address - base < reservation.bytes;
  });
}

StackPool::Slot& StackPool::slot_of(const char* low) noexcept {
  const auto holds = [low](const Reservation& r) { return low >= r.base && low < r.base + r.bytes; };
  if (AIOFIBER_UNLIKELY(!holds(reservations_[last_found_]))) {
    const auto behind =
        std::upper_bound(reservations_.begin(), reservations_.end(), low,
                         [](const char* address, const Reservation& r) { return address < r.base; });
    last_found_ = static_cast<std::size_t>(behind - reservations_.begin()) - 1;
  }
  const Reservation& reservation = reservations_[last_found_];
  AIOFIBER_ASSERT(holds(reservation));
  return reservation.slots[static_cast<std::size_t>(low - reservation.base) / reservation.slot_bytes + 1];
}

// ---- use and idleness -------------------------------------------------------------------------------------

void StackPool::push_warm(SizeClass& size, Slot& slot) noexcept {
  slot.state = State::kWarm;
  slot.newer = nullptr;
  slot.older = std::exchange(size.newest, &slot);
  (slot.older != nullptr ? slot.older->newer : size.oldest) = &slot;
  ++warm_;
}

void StackPool::unlink_warm(SizeClass& size, Slot& slot) noexcept {
  (slot.newer != nullptr ? slot.newer->older : size.newest) = slot.older;
  (slot.older != nullptr ? slot.older->newer : size.oldest) = slot.newer;
  --warm_;
}

Stack StackPool::acquire(std::uint8_t size_class) {
  SizeClass& size = classes_[size_class];
  char* low = nullptr;
  if (Slot* const warm = size.newest) {
    unlink_warm(size, *warm);
    warm->state = State::kOut;
    low = warm->low;
  } else if (Slot* const cold = size.cold) {
    size.cold = cold->older;
    cold->state = State::kOut;
    low = cold->low;
  } else {
    low = fresh_stack(size, size_class);
  }
  ++in_use_;
  return Stack{low, low + class_bytes(size_class), size_class};
}

void StackPool::release(Stack stack, Nanoseconds now) noexcept {
#if AIOFIBER_ASAN
  // A stack that an exception left, or that was abandoned, still has poison that its next user would hit.
  __asan_unpoison_memory_region(stack.low, stack.bytes());
#endif
  Slot& slot = slot_of(stack.low);
  AIOFIBER_ASSERT(slot.state == State::kOut);
  slot.low = stack.low;
  slot.idle_since = now;
  push_warm(classes_[stack.size_class], slot);
  // Later ones expire later, so only the first matters.
  next_cooling_ = std::min(next_cooling_, expiry(slot));
  --in_use_;
  exhausted_ = nullptr;
}

Nanoseconds StackPool::expiry(const Slot& slot) const noexcept {
  return slot.idle_since > kForever - idle_time_ ? kForever : slot.idle_since + idle_time_;
}

namespace {
// In whole pages; of a small stack with large pages: none.
std::size_t last_quarter(const Stack& stack) noexcept {
  const std::size_t page = sys::page_bytes();
  return stack.bytes() / 4 / page * page;
}
}  // namespace

bool StackPool::last_quarter_used(const Stack& stack) noexcept {
  constexpr std::size_t kMostPages = 256;
  unsigned char pages[kMostPages];
  const std::size_t quarter = last_quarter(stack), page = sys::page_bytes();
  const std::size_t count = std::min(quarter / page, kMostPages);
  if (!sys::resident(stack.low + quarter - count * page, count * page, pages)) return false;
  return std::any_of(pages, pages + count, [](unsigned char one) { return (one & 1) != 0; });
}

void StackPool::forget_last_quarter(const Stack& stack) noexcept {
  sys::advise(stack.low, last_quarter(stack), MADV_DONTNEED);
}

// ---- giving back ------------------------------------------------------------------------------------------

// The rest of the budget of a call of cool().
struct StackPool::Piece {
  std::size_t stacks = kPieceStacks;
  std::size_t calls = kPieceCalls;
  std::size_t bytes = kPieceBytes;

  bool used_up() const noexcept { return stacks == 0 || calls == 0 || bytes == 0; }
};

void StackPool::cool(Nanoseconds now) noexcept {
  Piece piece;
  if (!give_back_rest(piece)) return;
  Nanoseconds next = kForever;
  for (std::size_t i = 0; i < kClasses; ++i) {
    SizeClass& size = classes_[i];
    while (size.oldest != nullptr && expiry(*size.oldest) <= now) {
      if (!give_back_run(size, static_cast<std::uint8_t>(i), now, piece)) return;
    }
    if (size.oldest != nullptr) next = std::min(next, expiry(*size.oldest));
  }
  next_cooling_ = next;
}

// Gives back the oldest warm stack and its neighbours that were idle long enough, by one call. False: the
// piece is used up.
bool StackPool::give_back_run(SizeClass& size, std::uint8_t size_class, Nanoseconds now,
                              Piece& piece) noexcept {
  if (piece.used_up()) return false;
  const std::size_t slot = slot_bytes(size_class);
  std::size_t more = std::min(piece.stacks, std::max<std::size_t>(piece.bytes / slot, 1)) - 1;
  const auto goes_too = [&](const Slot& neighbour) {
    return more > 0 && neighbour.state == State::kWarm && expiry(neighbour) <= now;
  };
  Slot* first = size.oldest;
  Slot* last = first;
  for (; goes_too(*(first - 1)); --more) --first;
  for (; goes_too(*(last + 1)); --more) ++last;
  for (Slot* each = first; each <= last; ++each) {
    unlink_warm(size, *each);
    each->state = State::kCold;
    each->older = std::exchange(size.cold, each);
  }
  piece.stacks -= static_cast<std::size_t>(last - first) + 1;
  rest_of_ = last;
  rest_low_ = first->low;  // guards in between stay, of both kinds
  rest_high_ = last->low + class_bytes(size_class);
  return give_back_rest(piece);
}

bool StackPool::give_back_rest(Piece& piece) noexcept {
  // The stack may be in use again: then its memory is not idle any more.
  if (rest_of_ != nullptr && rest_of_->state != State::kCold) rest_of_ = nullptr;
  if (rest_of_ == nullptr) return true;
  const std::size_t bytes = std::min(static_cast<std::size_t>(rest_high_ - rest_low_), piece.bytes);
  sys::advise(rest_low_, bytes, MADV_DONTNEED);
  rest_low_ += bytes;
  piece.bytes -= bytes;
  --piece.calls;
  if (rest_low_ < rest_high_) return false;
  rest_of_ = nullptr;
  return true;
}

}  // namespace aiofiber::runtime
