// SPDX-License-Identifier: Apache-2.0
//
// The quick way is for what the step has done before; everything else is History's.
#include "shared_state/accesses.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "aiofiber/runtime/inspect/traceback.h"
#include "shared_state/known_pages.h"

namespace aiofiber::runtime::shared_state {

namespace detail {
constinit thread_local Accesses* noted_by __attribute__((tls_model("initial-exec"))) = nullptr;
constinit thread_local std::uint64_t functions_entered __attribute__((tls_model("initial-exec"))) = 0;
}  // namespace detail

namespace {

constinit std::atomic<bool> announced{false};
// The search that watches this thread, also while no accesses are noted.
constinit thread_local Accesses* watched_by __attribute__((tls_model("initial-exec"))) = nullptr;

}  // namespace

void announce_instrumentation() noexcept { announced.store(true, std::memory_order_relaxed); }
bool is_instrumented() noexcept { return announced.load(std::memory_order_relaxed); }

void note_access(AccessKind kind, std::uintptr_t address, std::size_t bytes, std::uintptr_t pc,
                 std::uintptr_t sp) noexcept {
  if (Accesses* const by = detail::noted_by) by->note(kind, address, bytes, pc, sp);
}

void block_made(const void* begin, std::size_t bytes) noexcept {
  note_block(reinterpret_cast<std::uintptr_t>(begin), bytes);
  if (watched_by != nullptr) watched_by->forget(reinterpret_cast<std::uintptr_t>(begin), bytes);
}
void block_freed(const void* begin) noexcept { forget_block(reinterpret_cast<std::uintptr_t>(begin)); }

void block_kept(const void* begin, std::size_t bytes_before, std::size_t bytes) noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(begin);
  note_block(at, bytes);
  if (watched_by != nullptr && bytes > bytes_before)
    watched_by->forget(at + bytes_before, bytes - bytes_before);
}

Accesses::~Accesses() {
  if (watched_by == this) watched_by = nullptr;
  if (detail::noted_by == this) detail::noted_by = nullptr;
}

void Accesses::install() noexcept { watched_by = this; }

void Accesses::note_for(Task& task) noexcept {
  task_ = &task;
  known_calls_ = nullptr;
  detail::noted_by = this;
}

void Accesses::stop_noting() noexcept {
  detail::noted_by = nullptr;
  history_.after_access();
}

void Accesses::note(AccessKind kind, std::uintptr_t address, std::size_t bytes, std::uintptr_t pc,
                    std::uintptr_t sp) noexcept {
  const AccessesOff own_accesses;  // also those of a signal handler that comes meanwhile
  while (bytes > 0) {
    const std::size_t begin = address % kPageBytes, count = std::min(bytes, kPageBytes - begin);
    if (Page* const page = memory_.find(address)) {
      if (!page->ignored) note_in_page(kind, *page, begin, begin + count, pc, sp);
    }
    address += count;
    bytes -= count;
  }
}

void Accesses::note_in_page(AccessKind kind, Page& page, std::size_t begin, std::size_t end,
                            std::uintptr_t pc, std::uintptr_t sp) noexcept {
  if (history_.awaits_access()) history_.after_access();
  if (page.quick != nullptr && !history_.is_busy() && end - begin <= 16) {
    // Not for its stack: that of the first time is known.
    const std::uintptr_t address = reinterpret_cast<std::uintptr_t>(page.memory) + begin;
    if (kind == AccessKind::kRead && repeats<AccessKind::kRead>(address, end - begin, pc, sp)) return;
    if (kind == AccessKind::kWrite && page.quick->written_now.has_all_in_word(begin, end - begin))
      return history_.write_again(page, begin, end, {nullptr, pc, sp});
  }
  const Place place{calls_of(pc, sp), pc, sp};
  if (kind != AccessKind::kWrite) history_.read(*task_, page, begin, end, place);
  if (kind == AccessKind::kRead) return;
  history_.write(*task_, page, begin, end, kind == AccessKind::kUpdate ? Writes::kUpdates : Writes::kStores,
                 place, held_now());
}

const Calls* Accesses::calls_of(std::uintptr_t pc, std::uintptr_t sp) noexcept {
  if (known_calls_ != nullptr && pc == known_pc_ && sp == known_sp_ &&
      known_entered_ == detail::functions_entered)
    return known_calls_;
  std::array<std::uintptr_t, Calls::kMost + 8> addresses;  // and our own
  const std::size_t count = list_current_calls(addresses);
  const auto end = addresses.begin() + static_cast<std::ptrdiff_t>(count);
  const auto first = std::find(addresses.begin(), end, pc);
  known_pc_ = pc;
  known_sp_ = sp;
  known_entered_ = detail::functions_entered;
  known_calls_ = first != end ? history_.calls({&*first, static_cast<std::size_t>(end - first)})
                              : history_.calls({&pc, 1});
  return known_calls_;
}

void Accesses::forget(std::uintptr_t begin, std::size_t bytes) noexcept {
  for (const std::uintptr_t end = begin + bytes; begin < end;) {
    const std::uintptr_t next = std::min(end, (begin / kPageBytes + 1) * kPageBytes);
    const KnownPage* const known = known_page(begin);
    if (known != nullptr && known->page != nullptr) {
      const std::size_t at = begin % kPageBytes;
      history_.forget(*known->page, at, at + (next - begin));
    }
    begin = next;
  }
}

}  // namespace aiofiber::runtime::shared_state
