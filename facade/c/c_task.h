// SPDX-License-Identifier: Apache-2.0
//
// CTask: a task whose function is C code.
//
// No exception may pass C frames, so a cancellation reaches the function as an error code, and the request
// stays open until the function returns (TaskCore::keep_cancellation). The function runs even if the task was
// cancelled before its first step: it owns its argument. What it returned is kept also when the task ends
// cancelled.
#pragma once

#include <cstdint>
#include <vector>

#include "aiofiber/task_core.h"

namespace aiofiber::detail {

// The task's pointer under a key (keys.cc).
struct KeyValue {
  void* pointer = nullptr;
  std::uint64_t serial = 0;  // of the key when it was set
};

class CTask final : public TaskState<void*> {
 public:
  CTask(LoopCore& loop, void* (*function)(void*), void* argument)
      : TaskState<void*>(loop), function_(function), argument_(argument) {}

  // Null if the function was not called, or has not returned.
  void* returned() const noexcept { return returned_; }
  EntryInfo entry_of_function() const noexcept { return entry_of(function_); }
  std::vector<KeyValue>& values() noexcept { return values_; }

 protected:
  void invoke() override;
  void finish_value() override { finish(); }
  void destroy_closure() noexcept override {}
  bool closure_contains(const void*) const noexcept override { return false; }
  bool is_c_code() const noexcept override { return true; }

 private:
  void* (*function_)(void*);
  void* argument_;
  void* returned_ = nullptr;
  std::vector<KeyValue> values_;  // by the key's place
};

// Calls the destructors of the keys for the task's pointers (keys.cc).
void destroy_key_values(std::vector<KeyValue>& values) noexcept;

}  // namespace aiofiber::detail
