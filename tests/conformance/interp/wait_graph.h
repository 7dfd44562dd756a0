// SPDX-License-Identifier: Apache-2.0
//
// The graph of waiting tasks. No program may close a ring of tasks, because CPython cannot cancel rings.
//
// Tasks and futures have numbers, tasks from 0 up and futures from -1 down. A task waits for what its current
// instruction awaits, and will wait for the tasks of its groups.
#pragma once

#include <aiofiber/asyncio.h>

#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace conf {

using Value = std::optional<int>;  // what a future or a task of a program holds: a number or None

class WaitGraph {
 public:
  // Would the wait close a ring? If not, it is noted.
  bool closes_ring(int waiter, const std::vector<int>& targets);
  void forget_wait(int waiter) { waits_.erase(waiter); }
  void add_child(int parent, int child, asyncio::Task<Value> task) {
    children_[parent].emplace_back(child, std::move(task));
  }

 private:
  std::map<int, std::vector<int>> waits_;
  std::map<int, std::vector<std::pair<int, asyncio::Task<Value>>>> children_;
};

}  // namespace conf
