// SPDX-License-Identifier: Apache-2.0
//
// The data of `aiofiber top` at a refresh: the tasks of the newest snapshot, and the rate of switches of each
// since the snapshot before.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "inspection.h"

namespace aiofiber::tool {

enum class TopOrder { kSwitches, kWaiting, kStack };

struct TopRow {
  const TaskSnapshot* task;              // of the inspection's snapshot
  double switches_per_s = 0;             // 0 before there are two snapshots
  std::optional<std::int64_t> since_ns;  // how long it has been waiting
};

struct TopSummary {
  std::size_t loops = 0, on_cpu = 0, ready = 0, waiting = 0, not_started = 0;
  double switches_per_s = 0;  // of living tasks only, without tasks that ended since the last refresh
};

class TopTable {
 public:
  // Reads the inspection's snapshot, which was copied at `when`. The rows point into it.
  void update(const Inspection& inspection, std::chrono::steady_clock::time_point when);
  // Largest first, then by id.
  void sort(TopOrder order);

  bool has_rates() const { return updates_ > 1; }
  const TopSummary& summary() const { return summary_; }
  const std::vector<TopRow>& rows() const { return rows_; }
  // Its place in the rows; nullopt if there is no such task.
  std::optional<std::size_t> find(std::uint64_t id) const;

 private:
  std::size_t updates_ = 0;
  std::chrono::steady_clock::time_point when_;
  absl::flat_hash_map<std::uint64_t, std::uint64_t> switches_;  // by id, at the last update
  TopSummary summary_;
  std::vector<TopRow> rows_;
};

}  // namespace aiofiber::tool
