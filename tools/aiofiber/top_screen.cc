// SPDX-License-Identifier: Apache-2.0
//
// Columns are as wide as what they hold, up to a limit: one long name must not push the others off the
// screen.
#include "top_screen.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "terminal.h"

namespace aiofiber::tool {
namespace {

constexpr std::size_t kColumns = 9;
using Cells = std::array<std::string, kColumns>;
struct Column {
  const char* title;
  std::size_t most;  // characters
  bool right;
};
constexpr std::array<Column, kColumns> kTable{{{"THREAD", 24, false},
                                               {"ID", 20, true},
                                               {"NAME", 24, false},
                                               {"STATE", 10, false},
                                               {"SWITCHES/S", 12, true},
                                               {"SINCE", 16, true},
                                               {"STACK", 10, true},
                                               {"WAITS FOR", 32, false},
                                               {"WHERE", 400, false}}};

std::string rate_text(const TopTable& table, double per_second) {
  if (!table.has_rates()) return "-";
  char text[32];
  std::snprintf(text, sizeof text, per_second > 0 && per_second < 10 ? "%.1f" : "%.0f", per_second);
  return text;
}

Cells cells_of(Inspection& inspection, const TopTable& table, const TopRow& row) {
  const TaskSnapshot& task = *row.task;
  const std::uint32_t tid = task.record.tid;
  const std::string thread = printable(inspection.target().thread_name(tid));
  const auto where = inspection.where(task);
  return {tid != 0 ? std::to_string(tid) + (thread.empty() ? "" : " " + thread) : "-",
          std::to_string(task.record.id),
          printable(task.name()),
          inspection.state(task),
          rate_text(table, row.switches_per_s),
          row.since_ns ? duration_text(*row.since_ns) : "-",
          task.stack_used() != 0 ? bytes_text(task.stack_used()) : "-",
          inspection.waits_for(task),
          where ? short_text(*where) : ""};
}

std::string count_text(std::size_t count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace

std::vector<std::string> top_heading(const Inspection& inspection, const TopTable& table, double cost_ms) {
  const Target& target = inspection.target();
  const TopSummary& summary = table.summary();
  const std::string program = printable(target.thread_name(static_cast<std::uint32_t>(target.pid())));
  char cost[64];
  std::snprintf(cost, sizeof cost, ", refreshed in %.1f ms", cost_ms);
  return {
      target.name() + (program.empty() ? "" : " " + program) + ": " + count_text(summary.loops, "loop") +
          ", " +
          (table.has_rates() ? rate_text(table, summary.switches_per_s) + " switches/s" + cost : "measuring"),
      count_text(table.rows().size(), "task") + ": " + std::to_string(summary.on_cpu) + " on CPU, " +
          std::to_string(summary.ready) + " ready, " + std::to_string(summary.waiting) + " waiting, " +
          std::to_string(summary.not_started) + " new"};
}

std::vector<std::string> top_rows(Inspection& inspection, const TopTable& table, std::size_t first,
                                  std::size_t last) {
  std::vector<Cells> rows(1);
  for (std::size_t i = 0; i < kColumns; ++i) rows[0][i] = kTable[i].title;
  for (std::size_t i = first; i < last; ++i) rows.push_back(cells_of(inspection, table, table.rows()[i]));
  std::array<std::size_t, kColumns> width{};
  for (Cells& row : rows) {
    for (std::size_t i = 0; i < kColumns; ++i) {
      row[i] = cut(row[i], kTable[i].most);
      width[i] = std::max(width[i], characters(row[i]));
    }
  }
  std::vector<std::string> lines;
  // Of a program with one loop the thread tells nothing.
  const std::size_t leftmost = table.summary().loops > 1 ? 0 : 1;
  for (const Cells& row : rows) {
    std::string line;
    for (std::size_t i = leftmost; i < kColumns; ++i) {
      const std::string blanks(width[i] - characters(row[i]), ' ');
      line += (kTable[i].right ? blanks + row[i] : row[i] + blanks) + (i + 1 < kColumns ? "  " : "");
    }
    line.resize(line.find_last_not_of(' ') + 1);
    lines.push_back(line);
  }
  return lines;
}

}  // namespace aiofiber::tool
