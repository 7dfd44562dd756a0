// SPDX-License-Identifier: Apache-2.0
//
// The question whether only tasks that ignore their cancellation are left.
#include "threads/ignored_cancellation.h"

#include <algorithm>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#include "aiofiber/task_core.h"

namespace aiofiber::detail {

IgnoredCancellations::IgnoredCancellations(LoopCore& loop, Among among, std::function<void()> then)
    : loop_(loop), among_(among), then_(std::move(then)) {
  loop_.scheduler().set_at_ignored_interruption(&at_wait, this);
}

IgnoredCancellations::~IgnoredCancellations() {
  loop_.scheduler().set_at_ignored_interruption(nullptr, nullptr);
}

void IgnoredCancellations::at_wait(void* self) noexcept {
  auto& its = *static_cast<IgnoredCancellations*>(self);
  try {
    if (its.are_all_that_is_left()) its.then_();
  } catch (const std::bad_alloc&) {
    // Asked again at the next wait.
  }
}

bool IgnoredCancellations::are_all_that_is_left() const {
  std::vector<const TaskCore*> ignoring, others;
  for (const TaskCore* task = loop_.tasks.front(); task != nullptr; task = loop_.tasks.after(*task)) {
    if (task->fiber()->ignores_interruption()) {
      ignoring.push_back(task);
    } else if (among_ == Among::kAll || task->cancelling() > 0) {
      others.push_back(task);
    }
  }
  // A task directly, or what a gather or similar object has noted of its inputs (registry_abi.h).
  const auto waits_for = [](const TaskCore& waiting, const TaskCore& awaited) {
    FutureBase* const future = waiting.waits_for();
    if (future == nullptr) return false;
    const std::uint64_t watcher = awaited.fiber()->watched_by;
    return future->task() == &awaited || (watcher != 0 && waiting.fiber()->wait_arg == watcher);
  };
  for (std::size_t i = 0; i < ignoring.size(); ++i) {
    const auto stuck = std::stable_partition(others.begin(), others.end(), [&](const TaskCore* other) {
      return !waits_for(*other, *ignoring[i]);
    });
    ignoring.insert(ignoring.end(), stuck, others.end());
    others.erase(stuck, others.end());
  }
  return !ignoring.empty() && others.empty();
}

}  // namespace aiofiber::detail
