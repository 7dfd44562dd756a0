// SPDX-License-Identifier: Apache-2.0
//
// A state machine for each place of the registry, driven by the samples.
#include "sampled_timeline.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <utility>

namespace aiofiber::tool {
namespace {

std::uint64_t row_of(std::uint64_t id) { return runtime::kTraceTaskRows + id; }

std::string name_of(const aiofiber_record& record) {
  if (record.name[0] != '\0') return record.name;
  return absl::StrCat("Task-", record.name_number != 0 ? record.name_number : record.id);
}

}  // namespace

const char kSampledNote[] =
    "waits begin where they began; waits and runs shorter than the interval are counted, not drawn; no "
    "arrows, polls or callbacks";

void SampledTimeline::begin(const std::string& process_name, std::int64_t interval_ns) {
  text_.begin(process_name);
  text_.sampled(interval_ns, kSampledNote);
}

void SampledTimeline::begin_look(std::int64_t now_ns) {
  before_ = now_;
  now_ = now_ns;
  ++looks_;
}

void SampledTimeline::miss(std::size_t place) {
  if (place >= tasks_.size() || tasks_[place].id == 0 || tasks_[place].missed) return;
  tasks_[place].missed = true;
  tasks_[place].sure_until = before_;
}

// The time until which it is known to have been in its phase. A sample has the time of its beginning, so a
// phase may be younger than its sample.
std::int64_t SampledTimeline::sure_until(const Task& task, std::int64_t otherwise) const {
  return std::max(task.missed ? task.sure_until : otherwise, task.since);
}

void SampledTimeline::see(std::size_t place, const aiofiber_record& record) {
  if (tasks_.size() <= place) tasks_.resize(place + 1);
  Task& task = tasks_[place];
  const std::uint64_t id = record.state == AIOFIBER_FREE ? 0 : record.id;
  if (task.id != 0 && task.id != id) leave(task);
  if (id == 0) return;
  if (task.id == 0) {
    arrive(task, record);
  } else {
    move(task, record);
  }
  task.missed = false;
  if (task.phase == Phase::kRunning) ++task.samples_on_cpu;
}

// A task that was not there, or not sampled, before.
void SampledTimeline::arrive(Task& task, const aiofiber_record& record) {
  task = Task{};
  task.id = record.id;
  task.name = name_of(record);
  task.switches = record.switches;
  names_[task.id] = task.name;
  ++tasks_seen_;
  // Runs before the first sample do not count. For a task that was created since, all its runs count.
  task.runs = looks_ > 1 ? record.switches : 0;
  runs_ += task.runs;
  enter(task, record, 0);
}

void SampledTimeline::leave(Task& task) {
  close(task, sure_until(task, before_));
  count(task);
  names_.erase(task.id);
  task = Task{};
}

void SampledTimeline::move(Task& task, const aiofiber_record& record) {
  const std::int64_t sure = sure_until(task, before_);
  const std::uint64_t ran = record.switches - std::min(task.switches, record.switches);
  task.runs += ran;
  runs_ += ran;
  task.switches = record.switches;
  if (const std::string name = name_of(record); name != task.name) {
    names_[task.id] = task.name = name;
    task.row_named = false;
  }
  if (ran == 0) {
    const bool same = (record.state == AIOFIBER_RUNNING && task.phase == Phase::kRunning) ||
                      (record.state == AIOFIBER_WAITING && task.phase == Phase::kWaiting) ||
                      (record.state == AIOFIBER_READY && task.phase == Phase::kReady);
    if (same) return;
    close(task, sure);
    enter(task, record, now_);
    return;
  }
  // With one run between two waits, the first wait lasted at least until the pass in which the second began.
  const bool just_one = ran == 1 && record.state == AIOFIBER_WAITING && task.phase != Phase::kRunning;
  const std::int64_t known_until = just_one ? std::max(sure, record.wait_since_ns) : sure;
  close(task, known_until);
  const std::int64_t begin = enter(task, record, known_until);
  if (!just_one && ran > 1 && begin > known_until) {
    slice(task, absl::StrCat(ran, " runs between two looks"), "unseen", known_until, begin);
  }
}

// Enters the phase of the record. Its beginning is known if the record's time is after `free_from`, the end
// of the phase before. Otherwise the task has been in the phase since it was first seen.
// Returns the beginning.
std::int64_t SampledTimeline::enter(Task& task, const aiofiber_record& record, std::int64_t free_from) {
  const auto known = [&](std::int64_t time) { return time >= free_from ? time : std::max(now_, free_from); };
  if (record.state == AIOFIBER_WAITING) {
    task.phase = Phase::kWaiting;
    task.wait_kind = record.wait_kind;
    task.wait_arg = record.wait_arg;
    task.since = known(record.wait_since_ns);
  } else if (record.state == AIOFIBER_RUNNING) {
    task.phase = Phase::kRunning;
    task.since = std::max(now_, free_from);
  } else {
    task.phase = Phase::kReady;
    task.since = record.state == AIOFIBER_NEW ? known(record.created_ns) : std::max(now_, free_from);
  }
  return task.since;
}

void SampledTimeline::close(Task& task, std::int64_t until) {
  const Phase phase = std::exchange(task.phase, Phase::kNone);
  if (phase == Phase::kNone || until <= task.since) return;
  if (phase == Phase::kRunning) return slice(task, "run", "run", task.since, until);
  if (phase == Phase::kReady) return slice(task, "ready", "ready", task.since, until);
  const auto awaited = task.wait_kind == AIOFIBER_WAIT_TASK ? names_.find(task.wait_arg) : names_.end();
  slice(
      task,
      runtime::wait_slice_name(task.wait_kind, task.wait_arg, awaited != names_.end() ? awaited->second : ""),
      "wait", task.since, until);
  ++task.waits_drawn;
  ++waits_drawn_;
}

void SampledTimeline::slice(Task& task, const std::string& name, const char* category, std::int64_t from,
                            std::int64_t to) {
  name_row(task);
  text_.slice(row_of(task.id), name, category, from, to);
}

void SampledTimeline::name_row(Task& task) {
  if (!task.row_named) text_.row_name(row_of(task.id), task.name);
  task.row_named = true;
}

void SampledTimeline::count(Task& task) {
  name_row(task);
  text_.task_counts(row_of(task.id), task.runs, task.waits_drawn, task.samples_on_cpu);
}

void SampledTimeline::end(std::int64_t interval_ns, std::int64_t last_look_ns) {
  for (Task& task : tasks_) {
    if (task.id == 0) continue;
    close(task, sure_until(task, last_look_ns));
    count(task);
  }
  text_.sampled(interval_ns, kSampledNote);
  text_.end(0);
}

}  // namespace aiofiber::tool
