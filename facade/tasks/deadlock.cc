// SPDX-License-Identifier: Apache-2.0
//
// The deadlock report, for a loop that nothing can wake: no timer, descriptor, signal handler or other
// thread.
//
// Another thread could always call call_soon_threadsafe(). A process with threads is therefore told only of
// rings, and only in debug mode: looking for threads costs a system call each time the loop falls asleep.
#include <sys/single_threaded.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <unordered_map>
#include <vector>

#include "aiofiber/log.h"
#include "aiofiber/loop_core.h"
#include "aiofiber/runtime/inspect/task_dump.h"
#include "aiofiber/runtime/inspect/traceback.h"
#include "aiofiber/task.h"
#include "core/text.h"

namespace aiofiber::detail {

namespace {

// Whether the process has threads that could wake the loop; aiofiber's own helper threads do not count.
bool other_threads_exist() {
  if (__libc_single_threaded) return false;
  std::size_t others = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(entry.path() / "comm"), name);
    if (name != "aiofiber_watch" && name != "aiofiber_dump" && name != "aiofiber_trace") ++others;
  }
  return others > 1;
}

// The tasks that wait for `future`, also through gathers and the like.
void add_awaiting_tasks(const FutureBase& future, std::vector<TaskCore*>& out, int depth = 0) {
  constexpr int kMaxDepth = 32;  // of nested gathers
  std::vector<FutureBase*> awaiting;
  future.add_awaiting(awaiting);
  for (FutureBase* parent : awaiting) {
    if (TaskCore* task = parent->task()) {
      out.push_back(task);
    } else if (depth < kMaxDepth) {
      add_awaiting_tasks(*parent, out, depth + 1);
    }
  }
}

// Rings of tasks that wait for each other or for each other's locks. Each ring is found once, as a list in
// which every task is awaited by the next.
class RingFinder {
 public:
  explicit RingFinder(LoopCore& loop) {
    for (TaskCore* task = loop.tasks.front(); task != nullptr; task = loop.tasks.after(*task))
      nodes_.push_back({task, {}, 0, Color::kNew});
    std::sort(nodes_.begin(), nodes_.end(), [](const Node& a, const Node& b) { return a.task < b.task; });
    for (Node& node : nodes_) add_awaiting_tasks(node.task->future(), node.awaited_by);
    std::unordered_map<std::uint64_t, Node*> by_fiber;
    for (Node& node : nodes_) by_fiber[node.task->fiber()->id] = &node;
    for (Node& node : nodes_) {
      const auto holder = by_fiber.find(runtime::lock_owner(*node.task->fiber()).task);
      if (holder != by_fiber.end()) holder->second->awaited_by.push_back(node.task);
    }
  }

  std::vector<std::vector<TaskCore*>> find() {
    for (Node& node : nodes_) {
      if (node.color == Color::kNew) walk_from(node);
    }
    return std::move(rings_);
  }

 private:
  enum class Color { kNew, kOnPath, kDone };
  struct Node {
    TaskCore* task;
    std::vector<TaskCore*> awaited_by;
    std::size_t next;  // index into awaited_by
    Color color;
  };

  Node* find_node(TaskCore* task) {
    const auto at = std::lower_bound(nodes_.begin(), nodes_.end(), task,
                                     [](const Node& node, TaskCore* t) { return node.task < t; });
    return at != nodes_.end() && at->task == task ? &*at : nullptr;
  }

  void walk_from(Node& start) {
    std::vector<Node*> path{&start};
    start.color = Color::kOnPath;
    while (!path.empty()) {
      Node& node = *path.back();
      if (node.next == node.awaited_by.size()) {
        node.color = Color::kDone;
        path.pop_back();
        continue;
      }
      Node* above = find_node(node.awaited_by[node.next++]);
      if (above == nullptr || above->color == Color::kDone) continue;
      if (above->color == Color::kOnPath) {
        std::vector<TaskCore*> ring;
        for (auto at = std::find(path.begin(), path.end(), above); at != path.end(); ++at)
          ring.push_back((*at)->task);
        rings_.push_back(std::move(ring));
        continue;
      }
      above->color = Color::kOnPath;
      path.push_back(above);
    }
  }

  std::vector<Node> nodes_;
  std::vector<std::vector<TaskCore*>> rings_;
};

// A hash of the current graph of waiting tasks.
std::uint64_t situation(LoopCore& loop) {
  std::uint64_t sum = 1;
  for (TaskCore* task = loop.tasks.front(); task != nullptr; task = loop.tasks.after(*task)) {
    sum = sum * 31 + task->fiber()->id;
    sum = sum * 31 + task->fiber()->switches;
  }
  return sum;
}

std::string ring_text(const std::vector<TaskCore*>& ring) {
  if (ring.size() == 1) return "\nThis waits for itself: " + quote(ring.front()->name());
  std::string out = "\nThese wait for each other: " + quote(ring.front()->name());
  for (std::size_t i = ring.size(); i-- > 0;) out += " -> " + quote(ring[i]->name());
  return out;
}

std::string report_text(LoopCore& loop, bool certain, const std::vector<std::vector<TaskCore*>>& rings) {
  constexpr std::size_t kTasksShown = 20;
  const std::vector<runtime::TaskSnapshot> snapshots = runtime::snapshot_tasks();
  const runtime::TaskIndex all(snapshots);
  std::string tasks;
  std::size_t count = 0;
  for (TaskCore* task = loop.tasks.front(); task != nullptr; task = loop.tasks.after(*task)) {
    if (count++ >= kTasksShown) continue;
    tasks += "\nTask " + quote(task->name()) + " waits for " + runtime::describe_wait(*task->fiber(), all) +
             "\n" + format_frames(task_stack(*task, std::nullopt));
    tasks.pop_back();
  }
  if (count > kTasksShown) tasks += "\n... and " + std::to_string(count - kTasksShown) + " more tasks";
  std::string out =
      certain
          ? "Deadlock: nothing can wake the event loop: it waits for no timer, descriptor, signal or thread."
          : "Deadlock: tasks wait for each other.";
  for (const auto& ring : rings) out += ring_text(ring);
  return out + tasks;
}

}  // namespace

void report_deadlock(LoopCore& loop) noexcept {
  try {
    if (loop.tasks.empty() || (!loop.debug() && !__libc_single_threaded)) return;
    runtime::Scheduler& scheduler = loop.scheduler();
    // The inbox is read last: a thread that has ended since may have posted something before.
    const bool certain = loop.signal_handlers == 0 && !scheduler.reactor().has_fd_waiters() &&
                         !other_threads_exist() && !scheduler.has_posted();
    if (!certain && !loop.debug()) return;
    const std::uint64_t now = situation(loop);
    if (now == loop.reported_deadlock) return;
    const auto rings = RingFinder(loop).find();
    if (!certain && rings.empty()) return;
    loop.reported_deadlock = now;
    log(LogLevel::WARNING, report_text(loop, certain, rings));
  } catch (...) {
    // A failed report must not become an error of the program.
  }
}

}  // namespace aiofiber::detail
