// SPDX-License-Identifier: Apache-2.0
//
// The functions that -fsanitize=thread makes the compiler call: the contract is the compilers', the names are
// in LLVM's ThreadSanitizer.cpp and GCC's sanitizer.def.
//
// ThreadSanitizer's own library is not linked. Each access goes to the search for shared state. Atomics are
// made as they are and not noted: who uses one knows that it is shared. This file itself must not be
// instrumented.
#include <cstddef>
#include <cstdint>

#include "shared_state/instrumented/caller.h"

namespace {

namespace shared_state = aiofiber::runtime::shared_state;
using shared_state::Caller;

// Of all atomics, whatever was asked for: a stronger order is always allowed.
constexpr int kOrder = __ATOMIC_SEQ_CST;

}  // namespace

// No declarations: the compiler knows these names.
#pragma GCC diagnostic ignored "-Wmissing-declarations"

extern "C" {

// A sign for the runtime: the callbacks are not those of ThreadSanitizer's library.
extern const char aiofiber_instrumented;
const char aiofiber_instrumented = 1;

// From a constructor of each instrumented translation unit.
void __tsan_init() { shared_state::announce_instrumentation(); }

void __tsan_func_entry(void*) { ++shared_state::detail::functions_entered; }
void __tsan_func_exit() {}
void __tsan_ignore_thread_begin() {}
void __tsan_ignore_thread_end() {}

#define AIOFIBER_ACCESS(name, note, size)                                        \
  void name(void* address) {                                                     \
    if (shared_state::accesses_are_noted()) AIOFIBER_CALLER.note(address, size); \
  }
#define AIOFIBER_ACCESSES(size)                                      \
  AIOFIBER_ACCESS(__tsan_read##size, reads, size)                    \
  AIOFIBER_ACCESS(__tsan_write##size, writes, size)                  \
  AIOFIBER_ACCESS(__tsan_read_write##size, updates, size)            \
  AIOFIBER_ACCESS(__tsan_volatile_read##size, reads, size)           \
  AIOFIBER_ACCESS(__tsan_volatile_write##size, writes, size)         \
  AIOFIBER_ACCESS(__tsan_unaligned_read##size, reads, size)          \
  AIOFIBER_ACCESS(__tsan_unaligned_write##size, writes, size)        \
  AIOFIBER_ACCESS(__tsan_unaligned_read_write##size, updates, size)  \
  AIOFIBER_ACCESS(__tsan_unaligned_volatile_read##size, reads, size) \
  AIOFIBER_ACCESS(__tsan_unaligned_volatile_write##size, writes, size)
AIOFIBER_ACCESSES(1)
AIOFIBER_ACCESSES(2)
AIOFIBER_ACCESSES(4)
AIOFIBER_ACCESSES(8)
AIOFIBER_ACCESSES(16)
AIOFIBER_ACCESS(__tsan_vptr_read, reads, sizeof(void*))

void __tsan_vptr_update(void** address, void* value) {
  // A destructor writes what is there already.
  if (shared_state::accesses_are_noted() && *address != value) AIOFIBER_CALLER.writes(address, sizeof value);
}

void __tsan_read_range(void* address, std::size_t bytes) {
  if (shared_state::accesses_are_noted()) AIOFIBER_CALLER.reads(address, bytes);
}
void __tsan_write_range(void* address, std::size_t bytes) {
  if (shared_state::accesses_are_noted()) AIOFIBER_CALLER.writes(address, bytes);
}

// clang calls these instead of the functions of libc, which the linker knows under these names
// (libc_calls.cc).
void* __real_memcpy(void* to, const void* from, std::size_t bytes);
void* __real_memmove(void* to, const void* from, std::size_t bytes);
void* __real_memset(void* to, int value, std::size_t bytes);
void* __tsan_memcpy(void* to, const void* from, std::size_t bytes) {
  if (shared_state::accesses_are_noted()) {
    const Caller caller = AIOFIBER_CALLER;
    caller.reads(from, bytes);
    caller.writes(to, bytes);
  }
  return __real_memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, std::size_t bytes) {
  if (shared_state::accesses_are_noted()) {
    const Caller caller = AIOFIBER_CALLER;
    caller.reads(from, bytes);
    caller.writes(to, bytes);
  }
  return __real_memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, std::size_t bytes) {
  if (shared_state::accesses_are_noted()) AIOFIBER_CALLER.writes(to, bytes);
  return __real_memset(to, value, bytes);
}

#define AIOFIBER_ATOMIC(bits, Value)                                                                       \
  Value __tsan_atomic##bits##_load(const volatile Value* at, int) { return __atomic_load_n(at, kOrder); }  \
  void __tsan_atomic##bits##_store(volatile Value* at, Value value, int) {                                 \
    __atomic_store_n(at, value, kOrder);                                                                   \
  }                                                                                                        \
  Value __tsan_atomic##bits##_exchange(volatile Value* at, Value value, int) {                             \
    return __atomic_exchange_n(at, value, kOrder);                                                         \
  }                                                                                                        \
  Value __tsan_atomic##bits##_fetch_add(volatile Value* at, Value value, int) {                            \
    return __atomic_fetch_add(at, value, kOrder);                                                          \
  }                                                                                                        \
  Value __tsan_atomic##bits##_fetch_sub(volatile Value* at, Value value, int) {                            \
    return __atomic_fetch_sub(at, value, kOrder);                                                          \
  }                                                                                                        \
  Value __tsan_atomic##bits##_fetch_and(volatile Value* at, Value value, int) {                            \
    return __atomic_fetch_and(at, value, kOrder);                                                          \
  }                                                                                                        \
  Value __tsan_atomic##bits##_fetch_or(volatile Value* at, Value value, int) {                             \
    return __atomic_fetch_or(at, value, kOrder);                                                           \
  }                                                                                                        \
  Value __tsan_atomic##bits##_fetch_xor(volatile Value* at, Value value, int) {                            \
    return __atomic_fetch_xor(at, value, kOrder);                                                          \
  }                                                                                                        \
  Value __tsan_atomic##bits##_fetch_nand(volatile Value* at, Value value, int) {                           \
    return __atomic_fetch_nand(at, value, kOrder);                                                         \
  }                                                                                                        \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile Value* at, Value* expected, Value value, int, \
                                                    int) {                                                 \
    return __atomic_compare_exchange_n(at, expected, value, false, kOrder, kOrder);                        \
  }                                                                                                        \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile Value* at, Value* expected, Value value, int,   \
                                                  int) {                                                   \
    return __atomic_compare_exchange_n(at, expected, value, true, kOrder, kOrder);                         \
  }                                                                                                        \
  Value __tsan_atomic##bits##_compare_exchange_val(volatile Value* at, Value expected, Value value, int,   \
                                                   int) {                                                  \
    __atomic_compare_exchange_n(at, &expected, value, false, kOrder, kOrder);                              \
    return expected;                                                                                       \
  }
AIOFIBER_ATOMIC(8, std::uint8_t)
AIOFIBER_ATOMIC(16, std::uint16_t)
AIOFIBER_ATOMIC(32, std::uint32_t)
AIOFIBER_ATOMIC(64, std::uint64_t)

void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(kOrder); }
void __tsan_atomic_signal_fence(int) { __atomic_signal_fence(kOrder); }

}  // extern "C"
