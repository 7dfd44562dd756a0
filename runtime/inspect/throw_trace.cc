// SPDX-License-Identifier: Apache-2.0
//
// The recorder behind throw_trace(). __cxa_throw is in the processor's throw_entry.cc, because it must read
// the thrower's registers before a compiled prologue changes them. Then capture_throw() decides and records.
//
// libstdc++ lays an exception out like this (64 bits; distances from the thrown object):
//   -128  reference count (4 bytes), then 12 bytes of padding; all zero when __cxa_allocate_exception returns
//   -120  ... of which these 8 bytes hold our Record*
//   -112  type_info*;  -104  destructor
// This is part of its binary interface and has not changed since gcc 4.4. check_layout() tests it anyway.
#include <aiofiber/runtime/inspect/throw_trace.h>

#include <aiofiber/runtime/engine/config.h>

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <typeinfo>
#include <utility>

#include "arch/throw_entry.h"
#include "inspect/exception_owners.h"

namespace aiofiber::runtime {

// A process can have two copies of this file: the program's and that of preloaded hooks. Either may see a
// throw. They share objects that the loader unites by name: the settings, and the destructor that marks a
// recorded exception. (Not a function: a library may be linked so that it uses its own functions.)
namespace throw_trace_detail {
constinit std::atomic<bool> enabled{true};
constinit std::atomic<StackBounds (*)() noexcept> bounds_source{&thread_stack_bounds};
std::uint64_t no_coroutines() noexcept { return 0; }
constinit std::atomic<std::uint64_t (*)() noexcept> coroutines_source{&no_coroutines};
void destroy_with_record(void* object);
constinit Destructor recorded_destructor = &destroy_with_record;
}  // namespace throw_trace_detail

namespace {

using throw_trace_detail::bounds_source;
using throw_trace_detail::coroutines_source;
using throw_trace_detail::enabled;
using throw_trace_detail::recorded_destructor;

struct Record {
  Destructor destructor;                           // of the exception's type; null when it has none
  std::atomic<RethrowSegment*> segments{nullptr};  // the newest one; segments are only added
  std::size_t count;
  std::size_t omitted;
  std::uintptr_t calls[kWordsOfCoroutine * (kThrowTraceInnermost + kThrowTraceOutermost)];  // `count` of them
};

constexpr std::ptrdiff_t kCountOffset = -128, kSlotOffset = -120, kTypeOffset = -112,
                         kDestructorOffset = -104;

template <typename T>
T& header_field(void* object, std::ptrdiff_t offset) {
  return *reinterpret_cast<T*>(static_cast<char*>(object) + offset);
}

void* object_of(const std::exception_ptr& exception) {
  static_assert(sizeof exception == sizeof(void*));
  void* object;
  std::memcpy(&object, static_cast<const void*>(&exception), sizeof object);
  return object;
}

// ---- The start-up check

enum class Layout : int { kUnknown, kAsExpected, kDifferent };
constinit std::atomic<Layout> g_layout{Layout::kUnknown};
constinit thread_local bool t_checking_layout = false;

struct LayoutProbe {
  int value;
};

// Makes an exception without throwing it, and checks that its header is as described above.
Layout check_layout() noexcept {
  t_checking_layout = true;  // if a C++ runtime throws here after all, it must not come back
  Layout result = Layout::kDifferent;
  if (const std::exception_ptr exception = std::make_exception_ptr(LayoutProbe{1})) {
    void* object = object_of(exception);
    const bool expected = header_field<int>(object, kCountOffset) == 1 &&
                          header_field<int>(object, kCountOffset + 4) == 0 &&
                          header_field<void*>(object, kSlotOffset) == nullptr &&
                          header_field<const std::type_info*>(object, kTypeOffset) == &typeid(LayoutProbe) &&
                          static_cast<LayoutProbe*>(object)->value == 1;
    if (expected) result = Layout::kAsExpected;
  }
  t_checking_layout = false;
  g_layout.store(result, std::memory_order_relaxed);
  return result;
}

bool layout_is_known() noexcept {
  const Layout layout = g_layout.load(std::memory_order_relaxed);
  if (layout == Layout::kUnknown) [[unlikely]] {
    return !t_checking_layout && check_layout() == Layout::kAsExpected;
  }
  return layout == Layout::kAsExpected;
}

// ---- Recording

// A walk of a deep recursion costs 5 ns a frame; beyond this depth the outermost frames are not recorded.
constexpr std::size_t kMaxWalk = 4096;

// A list of calls. Without coroutines each is one word.
template <std::size_t words_of_call>
struct Trace {
  std::array<std::uintptr_t, words_of_call*(kThrowTraceInnermost + kThrowTraceOutermost)> addresses;
  std::size_t count = 0;
  std::size_t omitted = 0;
};

void walk(Registers at, StackBounds bounds, Trace<1>& trace) {
  trace.count = unwind_onwards(at, bounds, trace.addresses);
  // Deeper: read on in pieces as long as the outer part; keep the last full piece and the rest after it.
  const auto outermost = std::span(trace.addresses).subspan(kThrowTraceInnermost);
  std::array<std::uintptr_t, kThrowTraceOutermost> piece;
  std::size_t walked = trace.count;
  while (at.pc != 0 && walked < kMaxWalk) {
    const std::size_t count = unwind_onwards(at, bounds, piece);
    std::copy(outermost.begin() + static_cast<std::ptrdiff_t>(count), outermost.end(), outermost.begin());
    std::copy_n(piece.begin(), count, outermost.end() - static_cast<std::ptrdiff_t>(count));
    trace.omitted += count;
    walked += count;
  }
}

// The same for a fiber with coroutines.
class WalkWithCoroutines {
 public:
  WalkWithCoroutines(const CallSource& source, Trace<kWordsOfCoroutine>& trace) : trace_(trace) {
    const auto take = [](const Call& call, void* argument) noexcept {
      return static_cast<WalkWithCoroutines*>(argument)->take(call);
    };
    for_each_call(source, take, this);
    const std::size_t kept = std::min(seen_ - std::min(seen_, kThrowTraceInnermost), kThrowTraceOutermost);
    for (std::size_t i = seen_ - kept; i < seen_; ++i)
      append_call(outermost_[i % kThrowTraceOutermost], trace_.addresses, trace_.count);
    trace_.omitted = seen_ - std::min(seen_, kThrowTraceInnermost) - kept;
  }

 private:
  bool take(const Call& call) noexcept {
    if (seen_ < kThrowTraceInnermost) {
      append_call(call, trace_.addresses, trace_.count);
    } else {
      outermost_[seen_ % kThrowTraceOutermost] = call;
    }
    return ++seen_ < kMaxWalk;
  }

  Trace<kWordsOfCoroutine>& trace_;
  std::size_t seen_ = 0;
  std::array<Call, kThrowTraceOutermost> outermost_;
};

template <std::size_t words_of_call>
Record* make_record(Destructor destructor, const Trace<words_of_call>& trace) noexcept {
  void* memory = std::malloc(offsetof(Record, calls) + trace.count * sizeof trace.addresses.front());
  if (memory == nullptr) return nullptr;
  auto* record = static_cast<Record*>(memory);
  new (&record->segments) std::atomic<RethrowSegment*>(nullptr);
  record->destructor = destructor;
  record->count = trace.count;
  record->omitted = trace.omitted;
  std::copy_n(trace.addresses.begin(), trace.count, record->calls);
  return record;
}

// Not inlined: its trace is large, and stacks may be small.
[[gnu::noinline]] Record* record_with_coroutines(const CallSource& source, Destructor destructor) noexcept {
  Trace<kWordsOfCoroutine> trace;
  WalkWithCoroutines(source, trace);
  return make_record(destructor, trace);
}

// Returns false if the exception gets no trace.
bool record_trace(void* object, Destructor destructor, const Registers& thrower) {
  const StackBounds bounds = bounds_source.load(std::memory_order_relaxed)();
  const std::uint64_t coroutines = coroutines_source.load(std::memory_order_relaxed)();
  Record* record = nullptr;
  if (coroutines == 0) [[likely]] {
    Trace<1> trace;
    walk(thrower, bounds, trace);
    record = make_record(destructor, trace);
  } else {
    record = record_with_coroutines({thrower, bounds, coroutines, nullptr, true}, destructor);
  }
  if (!record) return false;
  header_field<Record*>(object, kSlotOffset) = record;
  return true;
}

const Record* record_of(const std::exception_ptr& exception) noexcept {
  void* object = object_of(exception);
  if (!object || header_field<Destructor>(object, kDestructorOffset) != recorded_destructor) return nullptr;
  return header_field<Record*>(object, kSlotOffset);
}

// ---- The real __cxa_throw

// With `--wrap=__cxa_throw` the linker makes this the wrapped function.
extern "C" __attribute__((weak)) void __real___cxa_throw(void*, std::type_info*, Destructor);
// AddressSanitizer's, if it is linked statically (clang): the dynamic linker's next definition would be
// libstdc++'s and would bypass AddressSanitizer.
extern "C" __attribute__((weak)) void __interceptor___cxa_throw(void*, std::type_info*, Destructor);

constinit std::atomic<ThrowFunction> g_real_throw{nullptr};

[[gnu::noinline]] ThrowFunction find_real_throw() {
  ThrowFunction found = &__interceptor___cxa_throw;
  // If a program wraps the name but has a shared libstdc++, this is our own function.
  if (!found && &__real___cxa_throw != &__wrap___cxa_throw) found = &__real___cxa_throw;
  if (!found) found = reinterpret_cast<ThrowFunction>(dlsym(RTLD_NEXT, "__cxa_throw"));
  if (!found) {
    std::fputs("aiofiber: no __cxa_throw behind ours; is libstdc++ static? See throw_trace.h\n", stderr);
    std::abort();
  }
  g_real_throw.store(found, std::memory_order_relaxed);
  return found;
}

ThrowFunction real_throw() {
  const ThrowFunction known = g_real_throw.load(std::memory_order_relaxed);
  return known ? known : find_real_throw();
}

}  // namespace

// Replaces the destructor of the exception's type: the C++ runtime calls it when the last owner lets go.
void throw_trace_detail::destroy_with_record(void* object) {
  hear_exception_owners(object);
  Record* record = std::exchange(header_field<Record*>(object, kSlotOffset), nullptr);
  const Destructor destructor = record->destructor;
  const RethrowSegment* segment = record->segments.load(std::memory_order_acquire);
  while (segment != nullptr) std::free(const_cast<RethrowSegment*>(std::exchange(segment, segment->before)));
  std::free(record);
  if (destructor) destructor(object);
}

void record_throw(const std::exception_ptr& exception, const Registers& thrower) noexcept {
  void* const object = object_of(exception);
  if (object == nullptr || !enabled.load(std::memory_order_relaxed) || !layout_is_known()) return;
  if (header_field<void*>(object, kSlotOffset) != nullptr) return;
  if (record_trace(object, header_field<Destructor>(object, kDestructorOffset), thrower))
    header_field<Destructor>(object, kDestructorOffset) = recorded_destructor;
}

ThrowContinuation capture_throw(void* object, Destructor destructor, const Registers& thrower) noexcept {
  const ThrowFunction real = real_throw();
  const bool wanted = enabled.load(std::memory_order_relaxed) && layout_is_known() &&
                      header_field<void*>(object, kSlotOffset) == nullptr;
  if (!wanted) return {destructor, real};
  return {record_trace(object, destructor, thrower) ? recorded_destructor : destructor, real};
}

std::span<const std::uintptr_t> throw_trace(const std::exception_ptr& exception) noexcept {
  const Record* record = record_of(exception);
  if (!record) return {};
  return {record->calls, record->count};
}

std::size_t throw_trace_omitted(const std::exception_ptr& exception) noexcept {
  const Record* record = record_of(exception);
  return record ? record->omitted : 0;
}

namespace {

// An exception that was made but never thrown has no record yet, so it gets an empty one. Its owner, the
// caller, keeps the C++ runtime from reading the header meanwhile. If two threads do this at once, the
// first one fills the slot.
Record* record_for_segments(void* object) noexcept {
  if (header_field<Destructor>(object, kDestructorOffset) == recorded_destructor)
    return header_field<Record*>(object, kSlotOffset);
  if (!layout_is_known()) return nullptr;
  Record* record = make_record(header_field<Destructor>(object, kDestructorOffset), Trace<1>{});
  if (record == nullptr) return nullptr;
  Record* none = nullptr;
  if (!__atomic_compare_exchange_n(&header_field<Record*>(object, kSlotOffset), &none, record, false,
                                   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    std::free(record);
    return nullptr;
  }
  __atomic_store_n(&header_field<Destructor>(object, kDestructorOffset), recorded_destructor,
                   __ATOMIC_RELEASE);
  return record;
}

constexpr std::uint32_t kMaxSegments = 64;

}  // namespace

[[gnu::noinline]] void add_rethrow_segment(const std::exception_ptr& exception, const void* by,
                                           const void* from) noexcept {
  void* object = object_of(exception);
  if (object == nullptr || !enabled.load(std::memory_order_relaxed)) return;
  Record* record = record_for_segments(object);
  if (record == nullptr) return;
  RethrowSegment* last = record->segments.load(std::memory_order_acquire);
  if (last != nullptr && last->depth >= kMaxSegments) return;
  Registers at = current_registers();
  const StackBounds bounds = bounds_source.load(std::memory_order_relaxed)();
  std::uintptr_t own_frame[1];
  unwind_onwards(at, bounds, own_frame);
  const std::uint64_t coroutines = coroutines_source.load(std::memory_order_relaxed)();
  std::array<std::uintptr_t, RethrowSegment::kMaxWords> calls;
  const std::size_t most = coroutines == 0 ? RethrowSegment::kMaxFrames : RethrowSegment::kMaxWords;
  const std::size_t count = list_calls({at, bounds, coroutines, nullptr, true}, std::span(calls).first(most));
  void* memory = std::malloc(offsetof(RethrowSegment, calls) + count * sizeof calls.front());
  if (memory == nullptr) return;
  auto* segment = static_cast<RethrowSegment*>(memory);
  segment->by = by;
  segment->from = from;
  segment->count = static_cast<std::uint32_t>(count);
  std::copy_n(calls.begin(), count, segment->calls);
  do {
    segment->before = last;
    segment->depth = last != nullptr ? last->depth + 1 : 1;
  } while (!record->segments.compare_exchange_weak(last, segment, std::memory_order_release,
                                                   std::memory_order_acquire));
}

const RethrowSegment* last_rethrow_segment(const std::exception_ptr& exception) noexcept {
  const Record* record = record_of(exception);
  return record != nullptr ? record->segments.load(std::memory_order_acquire) : nullptr;
}

void set_stack_bounds_source(StackBounds (*bounds_of_current_stack)() noexcept) noexcept {
  bounds_source.store(bounds_of_current_stack ? bounds_of_current_stack : &thread_stack_bounds,
                      std::memory_order_relaxed);
}

void set_coroutines_source(std::uint64_t (*coroutines_of_current_fiber)() noexcept) noexcept {
  coroutines_source.store(
      coroutines_of_current_fiber ? coroutines_of_current_fiber : &throw_trace_detail::no_coroutines,
      std::memory_order_relaxed);
}

void set_throw_tracing(bool wanted) noexcept { enabled.store(wanted, std::memory_order_relaxed); }

}  // namespace aiofiber::runtime
