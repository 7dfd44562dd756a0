// SPDX-License-Identifier: Apache-2.0
//
// mprotect() under a spin lock. Its owner makes a few system calls, so the others yield.
#include "shared_state/page_access.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>

#include "arch/stepping.h"

namespace aiofiber::runtime::shared_state {

namespace {

// The last fault of this thread at an open page, and how many changes had been made by then.
struct Repeated {
  std::uintptr_t address;
  std::uint64_t changes;
};
constinit thread_local Repeated repeated __attribute__((tls_model("initial-exec"))) = {0, 0};

// Not by libc: the table through which it is called may lie in a protected page.
void tell_kernel(char* memory, std::size_t bytes, Access access) noexcept {
  const std::uintptr_t protection = access == Access::kAll    ? PROT_READ | PROT_WRITE
                                    : access == Access::kRead ? PROT_READ
                                                              : PROT_NONE;
  arch::raw_call(SYS_mprotect, {{reinterpret_cast<std::uintptr_t>(memory), bytes, protection}});
}

}  // namespace

class PageAccess::Turn {
 public:
  explicit Turn(PageAccess& all) noexcept : owner_(all.owner_) {
    if (owner_.load(std::memory_order_relaxed) == &repeated) return;
    const void* nobody = nullptr;
    while (!owner_.compare_exchange_weak(nobody, &repeated, std::memory_order_acquire)) {
      nobody = nullptr;
      arch::raw_call(SYS_sched_yield, {});
    }
    is_first_ = true;
  }
  ~Turn() {
    if (is_first_) owner_.store(nullptr, std::memory_order_release);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  std::atomic<const void*>& owner_;
  bool is_first_ = false;  // not in a handler that has interrupted the owner
};

// `now` says at no time that a page is more open than the kernel has it.
void PageAccess::change(std::span<Page> neighbours, Access access) noexcept {
  ++changes_;
  for (Page& page : neighbours) page.now = std::max<Access>(page.now, access);
  tell_kernel(neighbours.front().memory, neighbours.size() * kPageBytes, access);
  // Those that were to be closed may be open again: by a handler that has interrupted this.
  for (Page& page : neighbours) page.now = std::min<Access>(page.now, access);
}

void PageAccess::set(Page& page, Access access) noexcept {
  const Turn turn(*this);
  if (page.now != access) change({&page, 1}, access);
}

void PageAccess::set_as_wanted(std::span<Page> pages) noexcept {
  const Turn turn(*this);
  for (std::size_t i = 0; i < pages.size();) {
    const Page& first = pages[i];
    std::size_t after = i + 1;
    if (first.now != first.wanted) {
      while (after < pages.size() && pages[after].now != pages[after].wanted &&
             pages[after].wanted == first.wanted &&
             pages[after].memory == pages[after - 1].memory + kPageBytes)
        ++after;
      change(pages.subspan(i, after - i), first.wanted);
    }
    i = after;
  }
}

PageAccess::Fault PageAccess::cause_of_fault(const Page& page, std::uintptr_t address) noexcept {
  const Turn turn(*this);
  if (page.now != Access::kAll) return Fault::kClosed;
  if (repeated.address == address && repeated.changes == changes_) return Fault::kNotByUs;
  repeated = {address, changes_};
  return Fault::kRepeat;
}

}  // namespace aiofiber::runtime::shared_state
