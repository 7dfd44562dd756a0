// SPDX-License-Identifier: Apache-2.0
//
// The handles of a loop: what the numbers in aiofiber_task and aiofiber_semaphore stand for.
//
// A handle is the place of a slot, the number of its loop's table, and a serial number that is never used
// again. So a handle that has ended, or is another loop's, is recognised without touching what it meant. The
// table belongs to its loop (LoopCore::c_handles), which drops it when it closes: the objects refer to the
// loop. Threads: the loop's.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "aiofiber.h"
#include "aiofiber/loop_core.h"
#include "aiofiber/semaphore.h"
#include "c/c_task.h"

namespace aiofiber::detail {

// A Semaphore that can tell whether it may be destroyed.
class CSemaphore : public Semaphore {
 public:
  using Semaphore::Semaphore;
  bool has_waiters() const { return state_->waiters.size() > 0; }
  std::int64_t units() const { return state_->value; }
};

class CHandles {
 public:
  CHandles() noexcept;
  CHandles(const CHandles&) = delete;
  CHandles& operator=(const CHandles&) = delete;

  // The table of the loop, made when first needed. Throws std::bad_alloc.
  static CHandles& of(LoopCore& loop);

  // 0, and the object of the handle; AIOFIBER_INVALID; AIOFIBER_OTHER_LOOP. `Handle`: aiofiber_task or
  // aiofiber_semaphore.
  int find(aiofiber_task handle, runtime::Ref<CTask>& task) noexcept;
  int find(aiofiber_semaphore handle, CSemaphore*& semaphore) noexcept;

  // Makes a handle. Throws std::bad_alloc; then nothing has changed.
  aiofiber_task add(runtime::Ref<CTask> task);
  aiofiber_semaphore add(std::unique_ptr<CSemaphore> semaphore);
  // Ends the handle. No effect if it has ended.
  template <class Handle>
  void end(Handle handle) noexcept {
    if (Slot* slot = find_slot(handle.place_, handle.serial_)) end_slot(*slot);
  }

 private:
  struct Slot {
    std::uint64_t serial = 0;  // 0: free
    std::uint32_t next_free = 0;
    runtime::Ref<CTask> task;
    std::unique_ptr<CSemaphore> semaphore;
  };
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  Slot* find_slot(std::uint64_t place, std::uint64_t serial) noexcept;
  int why_not_found(std::uint64_t place, std::uint64_t serial) const noexcept;
  Slot& take_slot();
  void end_slot(Slot& slot) noexcept;
  template <class Handle>
  Handle handle_of(const Slot& slot) const noexcept;

  const std::uint32_t number_;  // of this table, from 1
  std::uint64_t last_serial_ = 0;
  std::uint32_t first_free_ = kNone;
  std::vector<Slot> slots_;
};

}  // namespace aiofiber::detail
