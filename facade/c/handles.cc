// SPDX-License-Identifier: Apache-2.0
//
// Slots of a table of handles: a vector with a list of free places.
#include "c/handles.h"

#include <atomic>
#include <utility>

namespace aiofiber::detail {

namespace {

std::uint32_t next_table_number() noexcept {
  static std::atomic<std::uint32_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

constexpr int kBitsOfSlot = 32;

}  // namespace

CHandles::CHandles() noexcept : number_(next_table_number()) {}

CHandles& CHandles::of(LoopCore& loop) {
  if (loop.c_handles == nullptr) loop.c_handles = std::make_shared<CHandles>();
  return *loop.c_handles;
}

CHandles::Slot* CHandles::find_slot(std::uint64_t place, std::uint64_t serial) noexcept {
  const auto slot = static_cast<std::uint32_t>(place);
  if (serial == 0 || place >> kBitsOfSlot != number_ || slot >= slots_.size()) return nullptr;
  return slots_[slot].serial == serial ? &slots_[slot] : nullptr;
}

int CHandles::why_not_found(std::uint64_t place, std::uint64_t serial) const noexcept {
  const bool other = serial != 0 && place >> kBitsOfSlot != 0 && place >> kBitsOfSlot != number_;
  return other ? AIOFIBER_OTHER_LOOP : AIOFIBER_INVALID;
}

int CHandles::find(aiofiber_task handle, runtime::Ref<CTask>& task) noexcept {
  const Slot* const slot = find_slot(handle.place_, handle.serial_);
  if (slot == nullptr || !slot->task) return why_not_found(handle.place_, handle.serial_);
  task = slot->task;
  return 0;
}

int CHandles::find(aiofiber_semaphore handle, CSemaphore*& semaphore) noexcept {
  const Slot* const slot = find_slot(handle.place_, handle.serial_);
  if (slot == nullptr || slot->semaphore == nullptr) return why_not_found(handle.place_, handle.serial_);
  semaphore = slot->semaphore.get();
  return 0;
}

CHandles::Slot& CHandles::take_slot() {
  if (first_free_ == kNone) {
    slots_.emplace_back().next_free = kNone;
    first_free_ = static_cast<std::uint32_t>(slots_.size() - 1);
  }
  Slot& slot = slots_[first_free_];
  first_free_ = slot.next_free;
  slot.serial = ++last_serial_;
  return slot;
}

void CHandles::end_slot(Slot& slot) noexcept {
  // Last, because the object's end may run code that takes a slot.
  const runtime::Ref<CTask> task = std::move(slot.task);
  const std::unique_ptr<CSemaphore> semaphore = std::move(slot.semaphore);
  slot.serial = 0;
  slot.next_free = std::exchange(first_free_, static_cast<std::uint32_t>(&slot - slots_.data()));
}

template <class Handle>
Handle CHandles::handle_of(const Slot& slot) const noexcept {
  const auto place = static_cast<std::uint64_t>(&slot - slots_.data());
  return {std::uint64_t{number_} << kBitsOfSlot | place, slot.serial};
}

aiofiber_task CHandles::add(runtime::Ref<CTask> task) {
  Slot& slot = take_slot();
  slot.task = std::move(task);
  return handle_of<aiofiber_task>(slot);
}

aiofiber_semaphore CHandles::add(std::unique_ptr<CSemaphore> semaphore) {
  Slot& slot = take_slot();
  slot.semaphore = std::move(semaphore);
  return handle_of<aiofiber_semaphore>(slot);
}

}  // namespace aiofiber::detail
