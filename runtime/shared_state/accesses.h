// SPDX-License-Identifier: Apache-2.0
//
// The accesses of the running task, as instrumented code tells of them: which of them are told to History,
// and which need no look.
//
// Most accesses repeat one of the same step, and are only remembered as the last read, which decides whether
// a store is an update. The others get the stack of their place, which is walked once for all accesses of one
// instruction in one call of its function.
//
// Threads: the watched one.
#pragma once

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/shared_state/accesses.h"
#include "shared_state/history.h"
#include "shared_state/known_pages.h"
#include "shared_state/watched_memory.h"

namespace aiofiber::runtime::shared_state {

class Accesses {
 public:
  Accesses(WatchedMemory& memory, History& history) noexcept : memory_(memory), history_(history) {}
  ~Accesses();
  Accesses(const Accesses&) = delete;
  Accesses& operator=(const Accesses&) = delete;

  // On the thread that will be watched, and there again at the end.
  void install() noexcept;
  // From now on accesses are the task's, until stop_noting().
  void note_for(Task& task) noexcept;
  void stop_noting() noexcept;

  // Nothing is known at the address, or the step has done the same before. Of at most 16 bytes. Each access
  // of an instrumented program comes here, so every instruction counts.
  template <AccessKind kKind>
  bool repeats(std::uintptr_t address, std::size_t bytes, std::uintptr_t pc, std::uintptr_t sp) noexcept;
  void note(AccessKind kind, std::uintptr_t address, std::size_t bytes, std::uintptr_t pc,
            std::uintptr_t sp) noexcept;
  // These bytes are a new block of the heap: what was known of them is void.
  void forget(std::uintptr_t begin, std::size_t bytes) noexcept;

 private:
  void note_in_page(AccessKind kind, Page& page, std::size_t begin, std::size_t end, std::uintptr_t pc,
                    std::uintptr_t sp) noexcept;
  const Calls* calls_of(std::uintptr_t pc, std::uintptr_t sp) noexcept;

  WatchedMemory& memory_;
  History& history_;
  Task* task_ = nullptr;
  // The last place whose stack was walked.
  std::uintptr_t known_pc_ = 0, known_sp_ = 0;
  std::uint64_t known_entered_ = 0;
  const Calls* known_calls_ = nullptr;
};

template <AccessKind kKind>
AIOFIBER_ALWAYS_INLINE bool Accesses::repeats(std::uintptr_t address, std::size_t bytes, std::uintptr_t pc,
                                              std::uintptr_t sp) noexcept {
  const KnownPage* const known = known_page(address);
  if (known == nullptr) return true;
  const Page* const page = known->page;
  if (page == nullptr || page->quick == nullptr || history_.is_busy()) return false;
  const std::size_t at = address % kPageBytes;
  if constexpr (kKind == AccessKind::kRead) {
    if (!page->quick->used_now.has_all_in_word(at, bytes)) return false;
    history_.read_again(address, bytes, pc, sp);
    return true;
  } else {
    return page->quick->written_now.has_all_in_word(at, bytes) && page->stored.has_all_in_word(at, bytes);
  }
}

// note_access() of at most 16 bytes, where it is called: the compiler's callbacks know the number of bytes.
template <AccessKind kKind>
AIOFIBER_ALWAYS_INLINE void note_few(std::uintptr_t address, std::size_t bytes, std::uintptr_t pc,
                                     std::uintptr_t sp) noexcept {
  Accesses* const by = detail::noted_by;
  if (by != nullptr && !by->repeats<kKind>(address, bytes, pc, sp)) by->note(kKind, address, bytes, pc, sp);
}

// During its lifetime accesses of this thread are not noted: they are the search's own.
class AccessesOff {
 public:
  AccessesOff() noexcept : before_(detail::noted_by) { detail::noted_by = nullptr; }
  ~AccessesOff() { detail::noted_by = before_; }
  AccessesOff(const AccessesOff&) = delete;
  AccessesOff& operator=(const AccessesOff&) = delete;

 private:
  Accesses* before_;
};

}  // namespace aiofiber::runtime::shared_state
