// SPDX-License-Identifier: Apache-2.0
//
// aiofiber trace FILE: a summary on one screen. If there are many tasks, those whose names differ only in a
// number share a line; -v has a line for each.
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <cmath>

#include "aiofiber/runtime/trace/trace_text.h"
#include "columns.h"
#include "inspection.h"
#include "json.h"
#include "trace_command.h"
#include "trace_summary.h"

namespace aiofiber::tool {
namespace {

constexpr std::size_t kMostRows = 12;  // of a table: two tables and the headings fill a screen
constexpr std::size_t kUnfolded = 12;  // up to this number, tasks are listed one by one

// Three digits and a unit: 12.3 us, 4.56 ms, 1.20 s.
std::string short_duration(std::int64_t ns) {
  constexpr const char* kUnits[] = {"ns", "us", "ms", "s"};
  auto value = static_cast<double>(ns);
  std::size_t unit = 0;
  for (; unit < 3 && value >= 999.5; ++unit) value /= 1000;
  const int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return absl::StrFormat("%.*f %s", digits, value, kUnits[unit]);
}

std::string percent(std::int64_t part, std::int64_t whole) {
  return absl::StrFormat("%.1f %%",
                         whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0.0);
}

std::string plural(std::uint64_t count, const std::string& noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

std::string task_name(const TraceSummary& summary, std::uint64_t row) {
  const auto found = summary.tasks.find(row);
  if (found != summary.tasks.end() && !found->second.name.empty()) return printable(found->second.name);
  return absl::StrCat("task ", row - std::min(row, runtime::kTraceTaskRows));
}

// Whether the name of the wait contains more than its kind: "fd 7 readable", not "sleep".
std::string longest_wait(const TraceSummary& summary, const std::string& kind, const TraceWait& wait) {
  std::string what = wait.longest_name;
  if (what.starts_with("wait: ")) what.erase(0, 6);
  return task_name(summary, wait.longest_row) + (what == kind ? "" : ", " + printable(what));
}

void print_heading(const TraceSummary& summary, const TraceFileEnd& end, const std::string& path,
                   std::ostream& out) {
  out << path << ": " << (summary.process_name.empty() ? "a process" : printable(summary.process_name))
      << ", " << short_duration(summary.span_ns()) << ", " << plural(summary.tasks.size(), "task") << ", "
      << plural(summary.loops.size(), "loop") << ", " << plural(end.lines, "event") << '\n';
  if (!end.complete) {
    out << "The file was not ended: its program is still running or was killed. The last tenth of a second "
           "may be missing, and "
           "the waits that were not over.\n";
  }
  if (summary.lost > 0) {
    out << plural(summary.lost, "event") << " are missing, in " << plural(summary.lost_places, "place")
        << ": more came than could be written. What follows counts the others.\n";
  }
  if (summary.sampled) {
    out << "Sampled from outside every "
        << short_duration(static_cast<std::int64_t>(summary.interval_us) * 1000) << ": "
        << printable(summary.note) << '\n';
  }
}

void print_table(const std::vector<Column>& columns, const std::vector<std::vector<std::string>>& rows,
                 std::ostream& out) {
  for (const std::string& line : table_lines(columns, rows)) out << line << '\n';
}

void print_loops(const TraceSummary& summary, std::ostream& out) {
  if (summary.sampled || summary.loops.empty()) return;
  std::vector<std::vector<std::string>> rows;
  for (const auto& [row, loop] : summary.loops) {
    rows.push_back(
        {printable(loop.name), absl::StrCat(loop.poll.count), short_duration(loop.poll.total_ns),
         percent(summary.span_ns() - std::min(loop.poll.total_ns, summary.span_ns()), summary.span_ns()),
         absl::StrCat(loop.callback.count), short_duration(loop.callback.longest_ns)});
  }
  out << '\n';
  print_table({{"LOOP", false},
               {"POLLS", true},
               {"IN POLL", true},
               {"BUSY", true},
               {"CALLBACKS", true},
               {"LONGEST", true}},
              rows, out);
}

void print_tasks(const TraceSummary& summary, bool all, std::ostream& out) {
  if (summary.tasks.empty()) return;
  const auto tasks = summary.rows_by_name(!all && summary.tasks.size() > kUnfolded);
  const std::size_t shown = all ? tasks.size() : std::min(tasks.size(), kMostRows);
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 0; i < shown; ++i) {
    const TraceRow& row = tasks[i];
    if (summary.sampled) {
      // As a sampling profiler: the number of samples that found it running.
      const auto on_cpu = static_cast<std::int64_t>(row.samples_on_cpu * summary.interval_us * 1000);
      rows.push_back({printable(row.name), absl::StrCat(row.tasks), absl::StrCat(row.counted_runs),
                      "~" + short_duration(on_cpu), percent(on_cpu, summary.span_ns()),
                      row.run.count > 0 ? short_duration(row.run.longest_ns) : "-", "-",
                      short_duration(row.wait.longest_ns)});
      continue;
    }
    rows.push_back({printable(row.name), absl::StrCat(row.tasks), absl::StrCat(row.run.count),
                    short_duration(row.run.total_ns), percent(row.run.total_ns, summary.span_ns()),
                    short_duration(row.run.longest_ns), short_duration(row.ready.longest_ns),
                    short_duration(row.wait.longest_ns)});
  }
  out << '\n';
  print_table({{"TASK", false, 40},
               {"TASKS", true},
               {"RUNS", true},
               {"ON CPU", true},
               {"OF SPAN", true},
               {"LONGEST RUN", true},
               {"LONGEST READY", true},
               {"LONGEST WAIT", true}},
              rows, out);
  if (shown < tasks.size()) out << "... and " << plural(tasks.size() - shown, "other") << " (-v shows all)\n";
}

void print_waits(const TraceSummary& summary, bool all, std::ostream& out) {
  if (summary.waits.empty()) return;
  std::vector<std::pair<std::string, TraceWait>> waits(summary.waits.begin(), summary.waits.end());
  std::stable_sort(waits.begin(), waits.end(), [](const auto& a, const auto& b) {
    return a.second.times.total_ns > b.second.times.total_ns;
  });
  if (!all && waits.size() > kMostRows) waits.resize(kMostRows);
  std::vector<std::vector<std::string>> rows;
  for (const auto& [kind, wait] : waits) {
    rows.push_back({printable(kind), absl::StrCat(wait.times.count), short_duration(wait.times.total_ns),
                    short_duration(wait.times.total_ns / static_cast<std::int64_t>(wait.times.count)),
                    short_duration(wait.times.longest_ns), longest_wait(summary, kind, wait)});
  }
  out << '\n';
  print_table({{"WAITS FOR", false},
               {"TIMES", true},
               {"TOTAL", true},
               {"MEAN", true},
               {"LONGEST", true},
               {"WHICH", false, 60}},
              rows, out);
}

void write_times(JsonWriter& json, const char* name, const TraceTimes& times) {
  json.key(name);
  json.begin_object();
  json.member("count", times.count);
  json.member("total_ns", times.total_ns);
  json.member("longest_ns", times.longest_ns);
  json.end_object();
}

void write_rows(JsonWriter& json, TraceSummary& summary) {
  json.key("loops");
  json.begin_array();
  for (const auto& [row, loop] : summary.loops) {
    json.begin_object();
    json.member("tid", row);
    json.member("name", loop.name);
    write_times(json, "poll", loop.poll);
    write_times(json, "callback", loop.callback);
    json.end_object();
  }
  json.end_array();
  json.key("tasks");
  json.begin_array();
  for (const auto& [row, task] : summary.tasks) {
    json.begin_object();
    json.member("id", row - runtime::kTraceTaskRows);
    json.member("name", task.name);
    if (summary.sampled) {
      json.member("runs", task.counted_runs);
      json.member("samples_on_cpu", task.samples_on_cpu);
    }
    write_times(json, "run", task.run);
    write_times(json, "ready", task.ready);
    write_times(json, "wait", task.wait);
    json.end_object();
  }
  json.end_array();
  json.key("waits");
  json.begin_array();
  for (const auto& [kind, wait] : summary.waits) {
    json.begin_object();
    json.member("kind", kind);
    write_times(json, "times", wait.times);
    json.member("longest_task", task_name(summary, wait.longest_row));
    json.member("longest_what", wait.longest_name);
    json.end_object();
  }
  json.end_array();
}

void write_report(TraceSummary& summary, const TraceFileEnd& end, const std::string& path,
                  std::ostream& out) {
  JsonWriter json(out);
  json.begin_object();
  json.member("file", path);
  json.member("program", summary.process_name);
  json.member("complete", end.complete);
  json.member("events", end.lines);
  json.member("events_lost", summary.lost);
  json.member("sampled", summary.sampled);
  if (summary.sampled) json.member("interval_us", summary.interval_us);
  json.member("span_ns", summary.span_ns());
  write_rows(json, summary);
  json.key("wake_to_run");
  json.begin_object();
  json.member("count", summary.wakes());
  json.member("median_ns", summary.latency_ns(0.5));
  json.member("p99_ns", summary.latency_ns(0.99));
  json.member("max_ns", summary.latency_ns(1));
  json.end_object();
  json.end_object();
}

}  // namespace

void report_trace(const TraceOptions& options, std::ostream& out) {
  TraceSummary summary;
  const TraceFileEnd end = read_trace_file(options.file, [&](const TraceLine& line) { summary.add(line); });
  if (options.json) return write_report(summary, end, options.file, out);
  print_heading(summary, end, options.file, out);
  print_loops(summary, out);
  print_tasks(summary, options.verbose, out);
  print_waits(summary, options.verbose, out);
  if (summary.wakes() > 0) {
    out << "\nFrom wake to run, " << plural(summary.wakes(), "time") << ": median "
        << short_duration(summary.latency_ns(0.5)) << ", p99 " << short_duration(summary.latency_ns(0.99))
        << ", max " << short_duration(summary.latency_ns(1)) << '\n';
  }
}

}  // namespace aiofiber::tool
