// SPDX-License-Identifier: Apache-2.0
//
// A state machine for each task (unknown, running, waiting, ready). Events move it, and each state that it
// leaves becomes a slice.
#include "aiofiber/runtime/trace/trace_json.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "aiofiber/runtime/inspect/registry_abi.h"
#include "aiofiber/runtime/inspect/wait_kind.h"
#include "aiofiber/runtime/trace/trace.h"

namespace aiofiber::runtime {

// ---- events

void TraceJson::add(Loop& loop, const TraceEvent& event) {
  if (event.time > last_) last_ = event.time;
  switch (event.kind) {
    case TraceEvent::Kind::kSwitch:
      leave(loop, event);
      open(loop, event.object, event.time);
      break;
    case TraceEvent::Kind::kWake:
      wake(loop, event);
      break;
    case TraceEvent::Kind::kNameLow:
    case TraceEvent::Kind::kNameHigh: {
      std::array<char, 16> bytes;
      std::memcpy(bytes.data(), &event.object, 8);
      std::memcpy(bytes.data() + 8, &event.argument, 8);
      const std::string_view part(bytes.data(), ::strnlen(bytes.data(), bytes.size()));
      if (event.kind == TraceEvent::Kind::kNameHigh) {
        name(event.subject, tasks_[event.subject].name + std::string(part));
      } else if (part.size() < bytes.size()) {
        name(event.subject, part);
      } else {
        tasks_[event.subject].name = part;  // the rest follows
      }
      break;
    }
    case TraceEvent::Kind::kNumber:
      name(event.subject, absl::StrCat("Task-", event.object));
      break;
    case TraceEvent::Kind::kMark:
      mark(loop, event);
      break;
    case TraceEvent::Kind::kLost:
      lose(loop, event);
      break;
  }
}

void TraceJson::open(Loop& loop, std::uint64_t id, Nanoseconds now) {
  loop.on_cpu = true;
  loop.running = id;
  loop.since = now;
  row_of(loop);
  if (id == 0) return;
  Task& task = row_of(id);
  arrive(id, task, now);
  task.loop_thread = loop.thread_id;
}

void TraceJson::close(Loop& loop, Nanoseconds now) {
  if (!loop.on_cpu) return;
  if (loop.poll_since >= 0) text_.slice(loop.thread_id, "poll", "loop", loop.poll_since, now);
  if (loop.callback_since >= 0) text_.slice(loop.thread_id, "callback", "loop", loop.callback_since, now);
  loop.poll_since = loop.callback_since = -1;
  if (loop.running == 0) {
    text_.slice(loop.thread_id, "loop", "loop", loop.since, now);
  } else {
    text_.slice(kTaskRows + loop.running, "run", "run", loop.since, now);
    // The arrow is written only now. A viewer sorts lines by time and keeps the order of equal ones; so it
    // knows the slice on which the arrow ends.
    Task& task = tasks_[loop.running];
    if (task.arrow_comes) text_.arrow(task.arrow_row, task.arrow_from, kTaskRows + loop.running, loop.since);
    task.arrow_comes = false;
  }
  loop.on_cpu = false;
}

void TraceJson::leave(Loop& loop, const TraceEvent& event) {
  close(loop, event.time);
  if (event.subject == 0) return;
  Task& task = row_of(event.subject);
  task.loop_thread = loop.thread_id;
  task.since = event.time;
  if (event.state == AIOFIBER_WAITING) {
    task.phase = Phase::kWaiting;
    task.wait_kind = event.wait_kind;
    task.wait_argument = event.argument;
    // Woken while it ran: a task may wake itself. It never waits.
    if (task.woken) task.woken_at = event.time;
  } else if (event.state == AIOFIBER_READY) {
    task.phase = Phase::kReady;
  } else {
    // Slices of its waiters are still to be written and need its name.
    task.phase = Phase::kUnknown;
    ended_.push_back(event.subject);
    if (ended_.size() <= kEndedKept) return;
    tasks_.erase(ended_.front());
    ended_.pop_front();
  }
}

void TraceJson::arrive(std::uint64_t id, Task& task, Nanoseconds now) {
  if (task.phase == Phase::kWaiting || task.phase == Phase::kReady) wait_slices(id, task, now);
  task.arrow_comes = task.woken;
  task.arrow_row = task.waker_row;
  task.arrow_from = task.woken_at;
  task.woken = false;
  task.phase = Phase::kRunning;
  task.since = now;
}

// The wait, and the time in the ready queue after it.
void TraceJson::wait_slices(std::uint64_t id, Task& task, Nanoseconds until) {
  const std::uint64_t row = kTaskRows + id;
  Nanoseconds ready_since = task.since;
  if (task.phase == Phase::kWaiting) {
    ready_since = task.woken ? task.woken_at : until;
    if (ready_since > task.since) text_.slice(row, wait_name(task), "wait", task.since, ready_since);
  }
  if (until > ready_since) text_.slice(row, "ready", "ready", ready_since, until);
}

void TraceJson::wake(Loop& loop, const TraceEvent& event) {
  // The arrow must begin on a slice. After a loss, or at the start of a trace, the running task is not known
  // yet.
  if (!loop.on_cpu) open(loop, event.object, event.time);
  Task& task = tasks_[event.subject];
  if (task.phase == Phase::kUnknown) {  // new, or seen for the first time
    task.phase = Phase::kReady;
    task.since = event.time;
  }
  task.woken = true;
  task.woken_at = event.time;
  task.loop_thread = loop.thread_id;
  task.waker_row = loop.running == 0 ? loop.thread_id : kTaskRows + loop.running;
}

void TraceJson::mark(Loop& loop, const TraceEvent& event) {
  const auto what = static_cast<LoopMark>(event.state);
  if (what == LoopMark::kLeave) return close(loop, event.time);
  if (!loop.on_cpu) open(loop, 0, event.time);
  // Not at the start of the slice around it, because that slice is written later, see close().
  const Nanoseconds within = std::max(event.time, loop.since + 1);
  const auto end_slice = [&](Nanoseconds& since, std::string_view text) {
    if (since >= 0) text_.slice(loop.thread_id, text, "loop", since, event.time);
    since = -1;
  };
  switch (what) {
    case LoopMark::kPollBegin:
      loop.poll_since = within;
      break;
    case LoopMark::kPollEnd:
      end_slice(loop.poll_since, "poll");
      break;
    case LoopMark::kCallbackBegin:
      loop.callback_since = within;
      break;
    case LoopMark::kCallbackEnd:
      end_slice(loop.callback_since, "callback");
      break;
    case LoopMark::kLeave:
      break;
  }
}

// The states of the loop's tasks are not known after a loss: their slices begin again with their next events.
void TraceJson::lose(Loop& loop, const TraceEvent& event) {
  close(loop, event.time);
  row_of(loop);
  text_.lost(loop.thread_id, event.object, event.time);
  for (auto& [id, task] : tasks_) {
    if (task.loop_thread != loop.thread_id) continue;
    task.phase = Phase::kUnknown;
    task.woken = false;
  }
}

// ---- rows and the end

void TraceJson::name(std::uint64_t id, std::string_view text) {
  Task& task = tasks_[id];
  task.name = text;
  task.named = false;
  if (task.phase != Phase::kUnknown) row_of(id);
}

TraceJson::Task& TraceJson::row_of(std::uint64_t id) {
  Task& task = tasks_[id];
  if (!task.named) {
    if (task.name.empty()) task.name = absl::StrCat("task ", id);
    text_.row_name(kTaskRows + id, task.name);
    task.named = true;
  }
  return task;
}

void TraceJson::row_of(Loop& loop) {
  if (loop.named) return;
  text_.row_name(loop.thread_id, absl::StrCat("loop on thread ", loop.thread_id));
  loop.named = true;
}

void TraceJson::end(Loop& loop, Nanoseconds now) { close(loop, std::max(now, last_)); }

void TraceJson::end(Nanoseconds now, std::uint64_t lost) {
  const Nanoseconds until = std::max(now, last_);
  for (auto& [id, task] : tasks_) {
    if (task.phase != Phase::kWaiting && task.phase != Phase::kReady) continue;
    row_of(id);
    wait_slices(id, task, until);
  }
  text_.end(lost);
}

// Most tasks wait for the same thing repeatedly.
const std::string& TraceJson::wait_name(Task& task) {
  const bool names_a_task = task.wait_kind == AIOFIBER_WAIT_TASK;  // its name may have changed
  if (!task.wait_text.empty() && task.text_kind == task.wait_kind &&
      task.text_argument == task.wait_argument && !names_a_task) {
    return task.wait_text;
  }
  const auto awaited = names_a_task ? tasks_.find(task.wait_argument) : tasks_.end();
  task.wait_text = wait_slice_name(task.wait_kind, task.wait_argument,
                                   awaited != tasks_.end() ? awaited->second.name : "");
  task.text_kind = task.wait_kind;
  task.text_argument = task.wait_argument;
  return task.wait_text;
}

}  // namespace aiofiber::runtime
