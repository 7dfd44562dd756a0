// SPDX-License-Identifier: Apache-2.0
//
// A search from the targets along all waits. It finds the waiter if the new wait would close a ring.
#include "wait_graph.h"

#include <set>

namespace conf {

bool WaitGraph::closes_ring(int waiter, const std::vector<int>& targets) {
  std::set<int> seen;
  for (std::vector<int> todo = targets; !todo.empty();) {
    const int id = todo.back();
    todo.pop_back();
    if (id == waiter) return true;
    if (!seen.insert(id).second) continue;
    if (const auto found = waits_.find(id); found != waits_.end()) {
      todo.insert(todo.end(), found->second.begin(), found->second.end());
    }
    if (const auto found = children_.find(id); found != children_.end()) {
      for (const auto& [child, task] : found->second) {
        if (!task.done()) todo.push_back(child);
      }
    }
  }
  waits_[waiter] = targets;
  return false;
}

}  // namespace conf
