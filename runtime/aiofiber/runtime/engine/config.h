// SPDX-License-Identifier: Apache-2.0
//
// Compile-time facts about the machine and the build, and the defaults that the runtime starts from.
//
// All differences between release and sanitizer builds are decided here, so no other file asks the compiler.
// Knows nothing of the rest of the runtime.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define AIOFIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define AIOFIBER_ASAN 1
#endif
#endif
#ifndef AIOFIBER_ASAN
#define AIOFIBER_ASAN 0
#endif

// The build sets it for code of a ThreadSanitizer build that is not instrumented itself, so that this code
// sees the same classes.
#ifndef AIOFIBER_TSAN
#if defined(__SANITIZE_THREAD__)
#define AIOFIBER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define AIOFIBER_TSAN 1
#endif
#endif
#endif
#ifndef AIOFIBER_TSAN
#define AIOFIBER_TSAN 0
#endif

// For functions whose frames must be visible in stacks, or whose caller must not cache thread-locals.
#define AIOFIBER_NOINLINE __attribute__((noinline))
#define AIOFIBER_ALWAYS_INLINE __attribute__((always_inline)) inline
#define AIOFIBER_LIKELY(x) __builtin_expect(static_cast<bool>(x), 1)
#define AIOFIBER_UNLIKELY(x) __builtin_expect(static_cast<bool>(x), 0)

namespace aiofiber::runtime {

inline constexpr std::size_t kCacheLineBytes = 64;

// Address space of a stack, without its guard; a task may ask for another size. Pages are committed on first
// touch.
inline constexpr std::size_t kDefaultStackBytes = 256 * 1024;
// The smallest stack: room for a system call deep in libc, and a C++ throw with its unwinder. (Where
// pages may be larger, the smallest stack is a page: see StackPool.)
inline constexpr std::size_t kMinStackBytes = 32 * 1024;
// A larger request is treated as a bug in the program.
inline constexpr std::size_t kMaxStackBytes = std::size_t{1} << 30;
// The guard below a stack. A frame that skips less than this without touching it still hits the guard.
inline constexpr std::size_t kMinGuardBytes = 64 * 1024;
inline constexpr std::size_t kMaxGuardBytes = std::size_t{1} << 30;

// Nanoseconds on the scheduler's clock. kForever as a deadline means "no deadline".
using Nanoseconds = std::int64_t;
inline constexpr Nanoseconds kForever = INT64_MAX;

// How long a stack stays idle before it gives its memory back.
inline constexpr Nanoseconds kDefaultStackIdleTime = 10'000'000'000;
// A loop with ready work gives memory of stacks back at most this often, a bounded piece each time.
inline constexpr Nanoseconds kTimeBetweenCoolings = 1'000'000;

// A pass with ready work enters the kernel only when this much time has passed, ...
inline constexpr Nanoseconds kTimeBetweenPolls = 50'000;
inline constexpr std::uint32_t kHandlesBetweenClockReads = 16;
// ... or after this many handles, unless they were so short that polling would be more than a twentieth of
// the work. What a poll costs is measured: 0.25 us is usual, 1.2 us where a system call is dear.
inline constexpr std::uint32_t kHandlesBetweenPolls = 64;
inline constexpr Nanoseconds kUsualCostOfPoll = 250;
inline constexpr Nanoseconds kWorkForEachPoll = 20;
inline constexpr std::uint32_t kPollsBetweenMeasurements = 32;

// A loop that has taken this many nodes from other threads since it last slept gives up its CPU once before
// it sleeps again: a sleep and a wake-up (5 us) may cost more than all those nodes.
inline constexpr std::uint32_t kPostsOfAFlood = 32;

}  // namespace aiofiber::runtime
