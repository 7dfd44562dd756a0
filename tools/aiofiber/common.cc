// SPDX-License-Identifier: Apache-2.0
//
// What several commands print: headings, members of the JSON reports, the choice of tasks.
#include <algorithm>
#include <cctype>

#include "aiofiber/runtime/inspect/wait_kind.h"
#include "commands.h"
#include "failure.h"

namespace aiofiber::tool {
bool is_number(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

std::string doing_text(const Inspection& inspection, const TaskSnapshot& task) {
  const std::string waits = inspection.waits_for(task);
  const auto since = inspection.since_ns(task);
  std::string text = inspection.state(task);
  if (!waits.empty()) text += " for " + waits;
  if (since) text += " since " + duration_text(*since);
  if (task.on_cpu && !task.has_stack) {
    const bool has_coroutines = task.is_stackless() && !task.coroutines.empty();
    text += has_coroutines ? ", seen up to the coroutine that runs (--stop shows the rest)"
                           : ", not to be seen (--stop shows it)";
  }
  return text;
}

namespace {
void write_blocked_call(JsonWriter& json, const Inspection& inspection, const StandingLoop& loop) {
  json.member("system_call", loop.blocked.call);
  if (loop.blocked.takes_fd) {
    json.member("fd", static_cast<std::int32_t>(loop.blocked.arguments[0]));
    json.member("file", loop.blocked.file);
  }
  if (loop.blocked.is_uninterruptible) json.member("uninterruptible", true);
  if (!inspection.waits_for_mutex(loop)) return;
  json.member("mutex", loop.mutex);
  json.key("owner");
  json.begin_object();
  const TaskSnapshot* const task = inspection.snapshot().find(loop.mutex_owner.task);
  if (task != nullptr && task->record.tid == loop.mutex_owner.tid) {
    json.member("task", task->record.id);
    json.member("name", task->name());
  }
  json.member("tid", loop.mutex_owner.tid);
  json.end_object();
}
}  // namespace

void begin_report(JsonWriter& json, const Inspection& inspection) {
  json.begin_object();
  json.member("target", inspection.target().name());
  json.member("pid", inspection.target().pid());
  json.member("now_ns", inspection.snapshot().now_ns);
  json.key("standing_loops");
  json.begin_array();
  for (const StandingLoop& loop : inspection.snapshot().standing_loops) {
    json.begin_object();
    json.member("tid", loop.tid);
    json.member("stands_ns", loop.stands_ns);
    json.member("task", loop.task);
    write_blocked_call(json, inspection, loop);
    write_frames(json, inspection.callback_frames(loop, false));
    json.end_object();
  }
  json.end_array();
}

namespace {
// The owner of the lock: for an ended task, its id; for a thread outside tasks, the thread alone.
void write_owner(JsonWriter& json, const Inspection& inspection, const TaskSnapshot& task) {
  const TaskSnapshot* owner = inspection.snapshot().find_owner(task);
  json.key("owner");
  json.begin_object();
  if (owner != nullptr) {
    json.member("task", owner->record.id);
    json.member("name", owner->name());
  } else if (task.owner.tid == 0) {
    json.member("task", task.owner.task);
  }
  const std::uint32_t tid = owner != nullptr ? owner->record.tid : task.owner.tid;
  if (tid != 0) json.member("tid", tid);
  if (owner != nullptr && !task.seen_with_owner(*owner)) json.member("certain", false);
  json.end_object();
}
}  // namespace

void write_task(JsonWriter& json, const Inspection& inspection, const TaskSnapshot& task) {
  const aiofiber_record& record = task.record;
  json.member("id", record.id);
  json.member("name", task.name());
  json.member("state", inspection.state(task));
  json.member("tid", record.tid);
  const std::string waits = inspection.waits_for(task);
  json.key("waits_for");
  if (waits.empty()) {
    json.null();
  } else {
    json.begin_object();
    json.member("kind", runtime::wait_kind(record.wait_kind).name);
    json.member("text", waits);
    if (record.wait_kind == AIOFIBER_WAIT_FD) {
      json.member("fd", record.wait_arg >> 32);
      json.member("events", record.wait_arg & 3);
      json.member("others", (record.wait_arg & 0xffffffff) >> 8);
    } else if (record.wait_kind == AIOFIBER_WAIT_TASK) {
      json.member("task", record.wait_arg);
    } else if (record.wait_kind == AIOFIBER_WAIT_SLEEP) {
      json.member("deadline_ns", record.wait_arg);
    } else if (record.wait_kind == AIOFIBER_WAIT_FILE_LOCK) {
      json.member("fd", record.wait_arg >> 32);
    } else if (record.wait_kind == AIOFIBER_WAIT_PROCESS) {
      json.member("process", record.wait_arg);
    } else if (record.wait_kind == AIOFIBER_WAIT_THREAD_END) {
      json.member("thread", record.wait_arg);
    } else {
      json.member("address", record.wait_arg);
      if (task.owner.known()) write_owner(json, inspection, task);
    }
    if (const auto limit = inspection.snapshot().limit_ns(task)) json.member("until_ns", *limit);
    json.end_object();
  }
  const auto since = inspection.since_ns(task);
  json.key("since_ns");
  if (since) {
    json.value(*since);
  } else {
    json.null();
  }
  json.member("switches", record.switches);
  json.member("locks_held", record.locks_held);
  json.member("stack_bytes", task.stack_used());
  json.member("stack_size", record.stack_high - record.stack_low);
  json.key("stack_deepest");
  if (const auto deepest = inspection.stack_deepest(task)) {
    json.value(*deepest);
  } else {
    json.null();
  }
  json.member("spawner", record.spawner);
}

void write_frames(JsonWriter& json, const std::vector<Frame>& innermost_first) {
  json.key("frames");
  json.begin_array();
  for (auto frame = innermost_first.rbegin(); frame != innermost_first.rend(); ++frame) {
    json.begin_object();
    json.member("function", frame->function);
    if (frame->line > 0) {
      json.member("file", frame->file);
      json.member("line", frame->line);
    }
    json.member("inlined", frame->inlined);
    json.member("on_stack", !frame->entry && !frame->coroutine);
    json.member("coroutine", frame->coroutine);
    if (frame->coroutine) json.member("runs", frame->runs);
    json.member("address", frame->address);
    json.member("module", frame->module);
    json.member("module_offset", frame->module_offset);
    json.member("build_id", frame->build_id);
    json.end_object();
  }
  json.end_array();
}

void write_tasks(JsonWriter& json, const Inspection& inspection,
                 const std::vector<const TaskSnapshot*>& tasks,
                 absl::FunctionRef<void(std::size_t)> write_rest) {
  json.key("tasks");
  json.begin_array();
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    json.begin_object();
    write_task(json, inspection, *tasks[i]);
    write_rest(i);
    json.end_object();
  }
  json.end_array();
}

void write_place(JsonWriter& json, Inspection& inspection, const TaskSnapshot& task) {
  const auto where = inspection.where(task);
  json.member("where", where ? short_text(*where) : std::string());
}

std::vector<const TaskSnapshot*> chosen_tasks(const Snapshot& snapshot, const Options& options) {
  std::vector<const TaskSnapshot*> chosen;
  if (options.tasks.empty()) {
    for (const TaskSnapshot& task : snapshot.tasks) chosen.push_back(&task);
    return chosen;
  }
  for (const std::string& wanted : options.tasks) {
    const std::size_t before = chosen.size();
    for (const TaskSnapshot& task : snapshot.tasks) {
      if (is_called(task, wanted)) chosen.push_back(&task);
    }
    if (chosen.size() == before) {
      throw Failure(Exit::kUsage,
                    "there is no task " + wanted + ": give an id or a name that `aiofiber ps` shows");
    }
  }
  return chosen;
}

}  // namespace aiofiber::tool
