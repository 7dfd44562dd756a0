// SPDX-License-Identifier: Apache-2.0
//
// Keys of <aiofiber.h>: a table of the process. The pointers are in the tasks (CTask::values).
//
// A key's serial number is odd while the key exists and is never used again, so a pointer that was set under
// an earlier key at the same place is recognised. Threads: any; the table has no lock.
#include <array>
#include <atomic>
#include <climits>
#include <cstdint>
#include <typeinfo>
#include <utility>

#include "c/c_task.h"
#include "c/call.h"

namespace aiofiber::detail {

namespace {

struct Key {
  std::atomic<std::uint64_t> serial{0};
  std::atomic<void (*)(void*)> destructor{nullptr};
};
constinit std::array<Key, 128> keys;

bool exists(aiofiber_key key) noexcept {
  return (key.serial_ & 1) != 0 && key.place_ < keys.size() &&
         keys[key.place_].serial.load(std::memory_order_acquire) == key.serial_;
}

CTask* c_task_of(TaskCore& task) noexcept {
  return typeid(task) == typeid(CTask) ? static_cast<CTask*>(&task) : nullptr;
}

}  // namespace

void destroy_key_values(std::vector<KeyValue>& values) noexcept {
  // As at the end of a thread: destructors may set values again, so there are several rounds.
  constexpr int kRounds = 4;
  for (int round = 0; round < kRounds; ++round) {
    bool any = false;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const KeyValue value = std::exchange(values[i], {});
      const auto destructor = keys[i].destructor.load(std::memory_order_acquire);
      if (value.pointer == nullptr || destructor == nullptr || !exists({i, value.serial})) continue;
      any = true;
      destructor(value.pointer);
    }
    if (!any) return;
  }
}

}  // namespace aiofiber::detail

using namespace aiofiber::detail;

int aiofiber_key_create(void (*destructor)(void*), aiofiber_key* key) noexcept {
  if (key == nullptr) return AIOFIBER_INVALID;
  *key = {};
  for (std::size_t i = 0; i < keys.size(); ++i) {
    std::uint64_t serial = keys[i].serial.load(std::memory_order_relaxed);
    if ((serial & 1) != 0 || !keys[i].serial.compare_exchange_strong(serial, serial + 1)) continue;
    keys[i].destructor.store(destructor, std::memory_order_release);
    *key = {i, serial + 1};
    return 0;
  }
  return AIOFIBER_EXHAUSTED;
}

int aiofiber_key_delete(aiofiber_key key) noexcept {
  std::uint64_t serial = key.serial_;
  if (!exists(key) || !keys[key.place_].serial.compare_exchange_strong(serial, serial + 1)) {
    return AIOFIBER_INVALID;
  }
  return 0;
}

int aiofiber_set(aiofiber_key key, void* pointer) noexcept {
  return c_call([&]() -> int {
    const TaskHere here;
    if (here.error != 0) return here.error;
    CTask* const task = c_task_of(*here.task);
    if (task == nullptr) return AIOFIBER_OUTSIDE_TASK;
    if (!exists(key)) return AIOFIBER_INVALID;
    std::vector<KeyValue>& values = task->values();
    if (key.place_ >= values.size()) values.resize(key.place_ + 1);
    values[key.place_] = {pointer, key.serial_};
    return 0;
  });
}

void* aiofiber_get(aiofiber_key key) noexcept {
  const TaskHere here;
  CTask* const task = here.error == 0 ? c_task_of(*here.task) : nullptr;
  if (task == nullptr || !exists(key) || key.place_ >= task->values().size()) return nullptr;
  const KeyValue& value = task->values()[key.place_];
  return value.serial == key.serial_ ? value.pointer : nullptr;
}
