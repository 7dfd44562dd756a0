// SPDX-License-Identifier: Apache-2.0
//
// Call graphs: a walk from waiter to waiter, upwards from one future.
//
// Graphs with nested gathers can have more paths than nodes, so the walk stops at a maximum number of
// entries. A ring is found by comparing with the futures on the path from the start.
#include "aiofiber/debug.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <ostream>

#include "aiofiber/event_loop.h"
#include "core/standard_streams.h"
#include "core/text.h"

namespace aiofiber {

namespace {

using detail::FutureBase;
using detail::TaskCore;

constexpr std::size_t kMaxEntries = 4096;
constexpr std::string_view kCall = "::operator()";  // a lambda or a functor is called by its own name
constexpr std::size_t kMaxDepth = 256;  // maximum depth of waiting tasks: building and printing are recursive

class Builder {
 public:
  explicit Builder(std::optional<int> limit) : limit_(limit) {}

  FutureCallGraph build(FutureBase& future, std::size_t skip) {
    FutureCallGraph graph;
    graph.future = AnyFuture(runtime::Ref<FutureBase>(&future));
    ++entries_;
    if (std::find(path_.begin(), path_.end(), &future) != path_.end()) {
      graph.cycle = true;
      return graph;
    }
    graph.call_stack = stack_of(future, skip);
    std::vector<FutureBase*> awaiting;
    future.add_awaiting(awaiting);
    path_.push_back(&future);
    for (FutureBase* parent : awaiting) {
      if (entries_ >= kMaxEntries || path_.size() >= kMaxDepth) break;
      graph.awaited_by.push_back(build(*parent, 0));
    }
    path_.pop_back();
    return graph;
  }

 private:
  std::vector<FrameCallGraphEntry> stack_of(FutureBase& future, std::size_t skip) const {
    std::vector<FrameCallGraphEntry> stack;
    const TaskCore* task = future.task();
    if (task == nullptr || future.done() || limit_ == 0) return stack;
    std::vector<Frame> frames = detail::task_stack(*task, std::nullopt);  // oldest first
    frames.resize(frames.size() - std::min(skip, frames.size()));
    std::reverse(frames.begin(), frames.end());
    const std::size_t kept =
        limit_ ? std::min(frames.size(), static_cast<std::size_t>(std::abs(*limit_))) : frames.size();
    const std::size_t first = limit_ && *limit_ < 0 ? frames.size() - kept : 0;
    for (std::size_t i = first; i < first + kept; ++i) stack.push_back({std::move(frames[i])});
    return stack;
  }

  std::optional<int> limit_;
  std::size_t entries_ = 0;
  std::vector<const FutureBase*> path_;
};

std::string place_of(const Frame& frame) {
  if (!frame.file.empty()) return absl::StrCat("File ", detail::quote(frame.file), ", line ", frame.line);
  if (frame.module.empty()) return absl::StrCat("Address 0x", absl::Hex(frame.address));
  return absl::StrCat("Module ", detail::quote(frame.module), "+0x", absl::Hex(frame.module_offset));
}

void render(const FutureCallGraph& graph, std::size_t level, std::string& out) {
  const auto add_line = [&](const std::string& line) {
    if (!out.empty()) out += '\n';
    out.append(level * 4, ' ') += line;
  };
  FutureBase& future = graph.future.state();
  const std::string id = absl::StrCat("id=0x", absl::Hex(&future), ")");
  const TaskCore* task = future.task();
  const std::string head =
      task != nullptr ? "* Task(name=" + detail::quote(task->name()) + ", " : "* Future(";
  add_line(head + id + (graph.cycle ? " (waits for itself)" : ""));
  if (!graph.call_stack.empty()) {
    add_line("  + Call stack:");
    for (const FrameCallGraphEntry& entry : graph.call_stack) {
      const Frame& frame = entry.frame;
      std::string_view function = frame.function;
      if (function.ends_with(kCall)) function.remove_suffix(kCall.size());
      add_line("  |   " + place_of(frame) + ", in " + std::string(function) + "()");
    }
  }
  if (!graph.awaited_by.empty()) {
    add_line("  + Awaited by:");
    for (const FutureCallGraph& parent : graph.awaited_by) render(parent, level + 1, out);
  }
}

}  // namespace

std::optional<FutureCallGraph> capture_call_graph(const AnyFuture& future, std::size_t depth,
                                                  std::optional<int> limit) {
  TaskCore* const current = detail::current_task_core();
  FutureBase* start = future.ref().get();
  if (start == nullptr) {
    if (detail::LoopCore::running() == nullptr) {
      throw RuntimeError(
          "capture_call_graph() is called outside of a running event loop and without a future to look at");
    }
    if (current == nullptr) return std::nullopt;
    start = &current->future();
  }
  const bool is_current = current != nullptr && start == &current->future();
  return Builder(limit).build(*start, is_current && depth > 1 ? depth - 1 : 0);
}

std::string format_call_graph(const AnyFuture& future, std::size_t depth, std::optional<int> limit) {
  std::string out;
  if (const auto graph = capture_call_graph(future, depth, limit)) render(*graph, 0, out);
  return out;
}

void print_call_graph(const AnyFuture& future, std::ostream* file, std::size_t depth,
                      std::optional<int> limit) {
  std::ostream& out = file != nullptr ? *file : detail::standard_output();
  out << format_call_graph(future, depth, limit) << '\n';
  out.flush();
}

}  // namespace aiofiber
