// SPDX-License-Identifier: Apache-2.0
//
// The contents of the heading and of the columns.
#include "top_screen.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "columns.h"

namespace aiofiber::tool {
namespace {

const std::vector<Column> kTable{{"THREAD", false, 24}, {"ID", true, 20},         {"NAME", false, 24},
                                 {"STATE", false, 10},  {"SWITCHES/S", true, 12}, {"SINCE", true, 16},
                                 {"STACK", true, 10},   {"WAITS FOR", false, 60}, {"WHERE", false, 400}};

std::string rate_text(const TopTable& table, double per_second) {
  if (!table.has_rates()) return "-";
  return absl::StrFormat("%.*f", per_second > 0 && per_second < 10 ? 1 : 0, per_second);
}

std::vector<std::string> cells_of(Inspection& inspection, const TopTable& table, const TopRow& row) {
  const TaskSnapshot& task = *row.task;
  const std::uint32_t tid = task.record.tid;
  const std::string thread = printable(inspection.target().thread_name(tid));
  const auto where = inspection.where(task);
  return {tid == 0 ? "-" : absl::StrCat(tid, thread.empty() ? "" : " ", thread),
          absl::StrCat(task.record.id),
          printable(task.name()),
          inspection.state(task),
          rate_text(table, row.switches_per_s),
          row.since_ns ? duration_text(*row.since_ns) : "-",
          task.stack_used() != 0 ? bytes_text(task.stack_used()) : "-",
          inspection.waits_for(task),
          where ? short_text(*where) : ""};
}

std::string count_text(std::size_t count, const char* noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

}  // namespace

std::vector<std::string> top_heading(const Inspection& inspection, const TopTable& table, double cost_ms) {
  const Target& target = inspection.target();
  const TopSummary& summary = table.summary();
  const std::string program = printable(target.thread_name(static_cast<std::uint32_t>(target.pid())));
  const std::string rates = table.has_rates()
                                ? absl::StrFormat("%s switches/s, refreshed in %.1f ms",
                                                  rate_text(table, summary.switches_per_s), cost_ms)
                                : "measuring";
  return {
      absl::StrCat(target.name(), program.empty() ? "" : " ", program, ": ",
                   count_text(summary.loops, "loop"), ", ", rates),
      absl::StrCat(count_text(table.rows().size(), "task"), ": ", summary.on_cpu, " on CPU, ", summary.ready,
                   " ready, ", summary.waiting, " waiting, ", summary.not_started, " new")};
}

std::vector<std::string> top_rows(Inspection& inspection, const TopTable& table, std::size_t first,
                                  std::size_t last) {
  std::vector<Column> columns = kTable;
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = first; i < last; ++i) rows.push_back(cells_of(inspection, table, table.rows()[i]));
  if (table.summary().loops <= 1) {  // in a program with one loop, the thread is not useful
    columns.erase(columns.begin());
    for (std::vector<std::string>& row : rows) row.erase(row.begin());
  }
  return table_lines(columns, rows);
}

}  // namespace aiofiber::tool
