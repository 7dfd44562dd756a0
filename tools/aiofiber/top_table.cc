// SPDX-License-Identifier: Apache-2.0
//
// All switches of a task that is new in this snapshot count.
#include "top_table.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <tuple>

namespace aiofiber::tool {

void TopTable::update(const Inspection& inspection, std::chrono::steady_clock::time_point when) {
  const double seconds = std::max(std::chrono::duration<double>(when - when_).count(), 1e-6);
  ++updates_;
  when_ = when;
  summary_ = {};
  rows_.clear();
  absl::flat_hash_map<std::uint64_t, std::uint64_t> switches;
  switches.reserve(inspection.snapshot().tasks.size());
  absl::flat_hash_set<std::uint32_t> threads;
  for (const TaskSnapshot& task : inspection.snapshot().tasks) {
    const aiofiber_record& record = task.record;
    TopRow row{.task = &task, .since_ns = inspection.since_ns(task)};
    switches[record.id] = record.switches;
    if (has_rates()) {
      const auto before = switches_.find(record.id);
      const std::uint64_t made = record.switches - (before == switches_.end() ? 0 : before->second);
      row.switches_per_s = static_cast<double>(made) / seconds;
      summary_.switches_per_s += row.switches_per_s;
    }
    if (record.tid != 0) threads.insert(record.tid);
    if (task.on_cpu) {
      ++summary_.on_cpu;
    } else if (record.state == AIOFIBER_NEW) {
      ++summary_.not_started;
    } else if (record.state == AIOFIBER_READY) {
      ++summary_.ready;
    } else {
      ++summary_.waiting;
    }
    rows_.push_back(row);
  }
  summary_.loops = threads.size();
  switches_ = std::move(switches);
}

void TopTable::sort(TopOrder order) {
  const auto key = [order](const TopRow& row) {
    double first = 0;
    if (order == TopOrder::kSwitches) first = row.switches_per_s;
    if (order == TopOrder::kWaiting) first = static_cast<double>(row.since_ns.value_or(-1));
    if (order == TopOrder::kStack) first = static_cast<double>(row.task->stack_used());
    // Among equally busy tasks, the one on the CPU comes first.
    return std::tuple(-first, order == TopOrder::kSwitches && !row.task->on_cpu, row.task->record.id);
  };
  std::sort(rows_.begin(), rows_.end(), [&](const TopRow& a, const TopRow& b) { return key(a) < key(b); });
}

std::optional<std::size_t> TopTable::find(std::uint64_t id) const {
  const auto row =
      std::find_if(rows_.begin(), rows_.end(), [id](const TopRow& r) { return r.task->record.id == id; });
  if (row == rows_.end()) return std::nullopt;
  return static_cast<std::size_t>(row - rows_.begin());
}

}  // namespace aiofiber::tool
