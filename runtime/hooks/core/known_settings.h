// SPDX-License-Identifier: Apache-2.0
//
// What the hooks remember of a descriptor between calls: that it blocks without a time limit, and that the
// last read has drained it.
//
// A call that has to wait must know O_NONBLOCK and the socket's time limit: two system calls. A server asks a
// connection once and remembers the answer if it is the usual one. A hooked call that changes such a setting
// makes all that is known of every descriptor void, because several numbers can mean one open file.
//
// Something that the hooks do not see can change a setting, too: a raw system call, another process that
// shares the open file, io_uring. So what is known only begins a wait. A wait that lasts asks the kernel
// after kTimeUntilAsked, and then the call ends or goes on as the answer says (BlockingCall). A descriptor
// that is known to be drained is first waited for. That is no risk: the wait ends if there is something to
// read after all. Threads: any. Nothing here makes a system call or changes errno.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/engine/reactor.h"

namespace aiofiber::hooks::known_settings {

// How long a wait relies on what is known.
inline constexpr runtime::Nanoseconds kTimeUntilAsked = 20'000'000;

enum Fact : std::uint64_t {
  kNone = 0,
  kReadBlocks = 1,   // O_NONBLOCK is off, and there is no SO_RCVTIMEO
  kWriteBlocks = 2,  // the same, and no SO_SNDTIMEO
  kIsStream = 4,     // a short count means that nothing is left
  kDrained = 8,
};

namespace detail {
inline constexpr std::size_t kDescriptors = 65536;
inline constexpr unsigned kFactBits = 4;
// The facts, and above them the age in which they were noted.
extern constinit std::atomic<std::uint64_t> entries[kDescriptors] __attribute__((visibility("hidden")));
extern constinit std::atomic<std::uint64_t> age __attribute__((visibility("hidden")));
inline std::atomic<std::uint64_t>* entry_of(int fd) noexcept {
  return fd >= 0 && static_cast<std::size_t>(fd) < kDescriptors ? &entries[fd] : nullptr;
}
}  // namespace detail

// Read it before the kernel is asked: an answer belongs to that age.
inline std::uint64_t age() noexcept { return detail::age.load(std::memory_order_acquire); }

inline std::uint64_t facts(int fd) noexcept {
  const std::atomic<std::uint64_t>* const entry = detail::entry_of(fd);
  if (entry == nullptr) return kNone;
  const std::uint64_t word = entry->load(std::memory_order_relaxed);
  return word >> detail::kFactBits == age() ? word & ((1u << detail::kFactBits) - 1) : kNone;
}
inline Fact blocks(unsigned events) noexcept {
  return events == runtime::kReadable ? kReadBlocks : kWriteBlocks;
}
inline bool is_known_to_block(int fd, unsigned events) noexcept { return (facts(fd) & blocks(events)) != 0; }
inline void add(int fd, std::uint64_t more, std::uint64_t asked_at) noexcept {
  if (std::atomic<std::uint64_t>* const entry = detail::entry_of(fd))
    entry->store(asked_at << detail::kFactBits | facts(fd) | more, std::memory_order_relaxed);
}

// The number will be, or is, another file.
inline void forget(int fd) noexcept {
  if (std::atomic<std::uint64_t>* const entry = detail::entry_of(fd))
    entry->store(kNone, std::memory_order_relaxed);
}
// Put it around a change of a setting of some open file; `applies`: there is one. An answer of the kernel
// that was asked for meanwhile is void, too.
class Change {
 public:
  explicit Change(bool applies) noexcept : applies_(applies) { forget_all(); }
  ~Change() { forget_all(); }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  void forget_all() const noexcept {
    if (applies_) detail::age.fetch_add(1, std::memory_order_acq_rel);
  }
  const bool applies_;
};

// After a read of `count` bytes where `length` would have fitted.
inline void note_read(int fd, std::size_t count, std::size_t length) noexcept {
  std::atomic<std::uint64_t>* const entry = detail::entry_of(fd);
  if (entry == nullptr) return;
  const std::uint64_t word = entry->load(std::memory_order_relaxed);
  if ((word & kIsStream) == 0) return;
  const bool drained = count > 0 && count < length;
  entry->store(drained ? word | kDrained : word & ~std::uint64_t{kDrained}, std::memory_order_relaxed);
}
inline bool is_drained(int fd) noexcept {
  constexpr std::uint64_t kBoth = kReadBlocks | kDrained;
  return (facts(fd) & kBoth) == kBoth;
}
inline void forget_drained(int fd) noexcept { note_read(fd, 0, 0); }

}  // namespace aiofiber::hooks::known_settings
