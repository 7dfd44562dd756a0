// SPDX-License-Identifier: Apache-2.0
//
// What the kernel lets threads do with the watched pages: mprotect(), and `Page::now`, which tells what it
// was last told. Nothing else changes either.
//
// The watched thread closes pages and opens them again. Any other thread that runs into a closed page opens
// it. So both are changed under a lock: without it a page can stay closed that is noted as open, and whoever
// touches it next dies.
//
// Threads: any. Async-signal-safe: a signal handler that interrupts the owner of the lock on its own thread
// goes in, too. Such a handler only opens pages. That is safe because a page is noted as closed before it is
// closed, and opened before it is noted as open.
//
// The object must not lie in watched memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "shared_state/watched_memory.h"

namespace aiofiber::runtime::shared_state {

class PageAccess {
 public:
  void set(Page& page, Access access) noexcept;
  // Neighbours that change in the same way make one system call.
  void set_as_wanted(std::span<Page> pages) noexcept;

  enum class Fault : std::uint8_t {
    kClosed,   // the page is closed
    kRepeat,   // another thread has opened it since the fault: the access succeeds when it is repeated
    kNotByUs,  // the page is open, and yet the access fails: somebody else has protected it
  };
  // Why an access to the page has faulted. Called once for each fault, by the thread that had it.
  Fault cause_of_fault(const Page& page, std::uintptr_t address) noexcept;

 private:
  class Turn;
  void change(std::span<Page> neighbours, Access access) noexcept;

  std::atomic<const void*> owner_{nullptr};  // a thread, by the address of a variable of its own
  std::uint64_t changes_ = 0;
};

}  // namespace aiofiber::runtime::shared_state
