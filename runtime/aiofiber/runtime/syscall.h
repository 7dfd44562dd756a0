// SPDX-License-Identifier: Apache-2.0
//
// The seam for system calls: thin inline wrappers, and the place where a test injects faults.
//
// Each call asks fail(name) first: null in production, so the cost is one predictable load. A test
// installs a FaultPlan for its thread and decides which call fails with which errno.
// Only calls that the runtime itself makes are here; user code and the hooks call libc directly.
#pragma once

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace aiofiber::runtime {

// Decides the fate of a system call: 0 lets it through, anything else becomes its errno.
class FaultPlan {
 public:
  virtual ~FaultPlan() = default;
  virtual int fail(const char* call) noexcept = 0;
};

inline constinit thread_local FaultPlan* current_fault_plan = nullptr;

namespace sys {

inline bool injected(const char* call) noexcept {
  if (__builtin_expect(current_fault_plan == nullptr, 1)) return false;
  const int error = current_fault_plan->fail(call);
  if (error != 0) errno = error;
  return error != 0;
}

// mmap(2), private and anonymous, without swap reservation.
inline void* map_anonymous(std::size_t bytes) noexcept {
  if (injected("mmap")) return MAP_FAILED;
  return ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
}
inline int unmap(void* address, std::size_t bytes) noexcept { return ::munmap(address, bytes); }
inline int advise(void* address, std::size_t bytes, int advice) noexcept {
  return injected("madvise") ? -1 : ::madvise(address, bytes, advice);
}
inline int protect(void* address, std::size_t bytes, int protection) noexcept {
  return injected("mprotect") ? -1 : ::mprotect(address, bytes, protection);
}

}  // namespace sys
}  // namespace aiofiber::runtime
