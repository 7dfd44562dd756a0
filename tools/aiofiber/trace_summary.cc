// SPDX-License-Identifier: Apache-2.0
//
// The runtime chooses the names of slices: "wait: " and the words of wait_kind.h, then the object.
#include "trace_summary.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string_view>
#include <tuple>

#include "aiofiber/runtime/inspect/wait_kind.h"
#include "aiofiber/runtime/trace/trace_text.h"

namespace aiofiber::tool {
namespace {

bool is_task(std::uint64_t row) { return row >= runtime::kTraceTaskRows; }

// "wait: fd 7 readable" gives "fd", "wait: wait 0x..." gives "wait": the longest word that fits.
std::string kind_of_wait(std::string_view name) {
  constexpr std::string_view kBefore = "wait: ";
  if (name.starts_with(kBefore)) name.remove_prefix(kBefore.size());
  std::string_view best;
  for (const runtime::WaitKind& kind : runtime::kWaitKinds) {
    const std::string_view what = kind.what;
    const bool fits = name.starts_with(what) && (name.size() == what.size() || name[what.size()] == ' ');
    if (fits && what.size() > best.size()) best = what;
  }
  return std::string(best.empty() ? name : best);
}

std::string without_last_number(const std::string& name) {
  std::size_t end = name.size();
  while (end > 0 && std::isdigit(static_cast<unsigned char>(name[end - 1]))) --end;
  return end == name.size() || end == 0 ? name : name.substr(0, end) + '*';
}

}  // namespace

bool TraceTimes::add(std::int64_t ns) {
  ++count;
  total_ns += ns;
  if (count > 1 && ns <= longest_ns) return false;
  longest_ns = ns;
  return true;
}

void TraceTimes::add(const TraceTimes& other) {
  count += other.count;
  total_ns += other.total_ns;
  longest_ns = std::max(longest_ns, other.longest_ns);
}

void TraceSummary::add(const TraceLine& line) {
  switch (line.kind) {
    case TraceLine::Kind::kProcessName:
      process_name = line.name;
      break;
    case TraceLine::Kind::kRowName:
      (is_task(line.row) ? tasks : loops)[line.row].name = line.name;
      break;
    case TraceLine::Kind::kSlice:
      add_slice(line);
      break;
    case TraceLine::Kind::kArrowBegin:
      open_arrows_[line.arrow] = line.begin_ns;
      break;
    case TraceLine::Kind::kArrowEnd:
      if (const auto begin = open_arrows_.find(line.arrow); begin != open_arrows_.end()) {
        latencies_.push_back(line.begin_ns - begin->second);
        open_arrows_.erase(begin);
      }
      break;
    case TraceLine::Kind::kLost:
      ++lost_places;
      lost += std::strtoull(line.name.c_str(), nullptr, 10);
      break;
    case TraceLine::Kind::kSampled:
      sampled = true;
      interval_us = line.interval_us;
      note = line.name;
      break;
    case TraceLine::Kind::kTaskCounts:
      tasks[line.row].counted_runs += line.runs;
      tasks[line.row].samples_on_cpu += line.samples;
      break;
    case TraceLine::Kind::kEnd:
      lost = std::max(lost, line.lost);
      break;
    case TraceLine::Kind::kUnknown:
      break;
  }
}

void TraceSummary::add_slice(const TraceLine& line) {
  const std::int64_t end = line.begin_ns + line.duration_ns;
  first_ns = any_time ? std::min(first_ns, line.begin_ns) : line.begin_ns;
  last_ns = any_time ? std::max(last_ns, end) : end;
  any_time = true;
  TraceRow& row = (is_task(line.row) ? tasks : loops)[line.row];
  if (line.category == "run") {
    row.run.add(line.duration_ns);
  } else if (line.category == "ready") {
    row.ready.add(line.duration_ns);
  } else if (line.category == "wait") {
    row.wait.add(line.duration_ns);
    TraceWait& wait = waits[kind_of_wait(line.name)];
    if (!wait.times.add(line.duration_ns)) return;
    wait.longest_row = line.row;
    wait.longest_name = line.name;
  } else if (line.category == "loop") {
    if (line.name == "poll") row.poll.add(line.duration_ns);
    if (line.name == "callback") row.callback.add(line.duration_ns);
  }
}

std::int64_t TraceSummary::latency_ns(double part) {
  if (latencies_.empty()) return 0;
  const auto rank = static_cast<std::size_t>(std::ceil(part * static_cast<double>(latencies_.size())));
  const std::size_t at = std::min(latencies_.size(), std::max<std::size_t>(rank, 1)) - 1;
  std::nth_element(latencies_.begin(), latencies_.begin() + static_cast<std::ptrdiff_t>(at),
                   latencies_.end());
  return latencies_[at];
}

std::vector<TraceRow> TraceSummary::rows_by_name(bool fold) const {
  std::vector<TraceRow> rows;
  absl::btree_map<std::string, std::size_t> places;
  for (const auto& [number, row] : tasks) {
    TraceRow one = row;
    if (one.name.empty()) one.name = absl::StrCat("task ", number - runtime::kTraceTaskRows);
    const auto [place, fresh] =
        places.try_emplace(fold ? without_last_number(one.name) : absl::StrCat(number), rows.size());
    if (fresh) {
      rows.push_back(std::move(one));
      continue;
    }
    TraceRow& sum = rows[place->second];
    ++sum.tasks;
    sum.name = place->first;
    sum.run.add(one.run);
    sum.ready.add(one.ready);
    sum.wait.add(one.wait);
    sum.counted_runs += one.counted_runs;
    sum.samples_on_cpu += one.samples_on_cpu;
  }
  std::stable_sort(rows.begin(), rows.end(), [](const TraceRow& a, const TraceRow& b) {
    return std::tuple(a.run.total_ns, a.samples_on_cpu, a.counted_runs) >
           std::tuple(b.run.total_ns, b.samples_on_cpu, b.counted_runs);
  });
  return rows;
}

}  // namespace aiofiber::tool
