// SPDX-License-Identifier: Apache-2.0
//
// aiofiber ps: one line a task.
#include <algorithm>
#include <array>
#include <map>

#include "commands.h"

namespace aiofiber::tool {
namespace {

constexpr std::size_t kColumns = 9;
using Row = std::array<std::string, kColumns>;
constexpr std::array<bool, kColumns> kRight{false, true, false, false, false, true, true, true, false};

// Columns of text, in characters: names may hold UTF-8.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

void print_rows(const std::vector<Row>& rows, std::ostream& out) {
  std::array<std::size_t, kColumns> width{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < kColumns; ++i) width[i] = std::max(width[i], width_of(row[i]));
  }
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < kColumns; ++i) {
      const std::string blanks(width[i] - width_of(row[i]), ' ');
      line += (kRight[i] ? blanks + row[i] : row[i] + blanks) + (i + 1 < kColumns ? "  " : "");
    }
    line.resize(line.find_last_not_of(' ') + 1);
    out << line << '\n';
  }
}

}  // namespace

void ps(Inspection& inspection, const Options& options, std::ostream& out) {
  const auto tasks = chosen_tasks(inspection.snapshot(), options);
  if (options.json) {
    JsonWriter json(out);
    write_report(json, inspection, tasks, [&](const TaskSnapshot& task) {
      const auto where = inspection.where(task);
      json.member("where", where ? short_text(*where) : std::string());
    });
    return;
  }
  std::map<std::uint32_t, std::string> threads;
  std::vector<Row> rows{
      {"THREAD", "ID", "NAME", "STATE", "WAITS FOR", "SINCE", "SWITCHES", "STACK", "WHERE"}};
  for (const TaskSnapshot* task : tasks) {
    const aiofiber_record& record = task->record;
    const auto [thread, fresh] = threads.try_emplace(record.tid);
    if (fresh) {
      const std::string name = printable(inspection.target().thread_name(record.tid));
      thread->second = std::to_string(record.tid) + (name.empty() ? "" : " " + name);
    }
    const auto since = inspection.since_ns(*task);
    const auto where = inspection.where(*task);
    rows.push_back({record.tid != 0 ? thread->second : "-", std::to_string(record.id),
                    printable(task->name()), inspection.state(*task), inspection.waits_for(*task),
                    since ? duration_text(*since) : "-", std::to_string(record.switches),
                    task->stack_used() != 0 ? bytes_text(task->stack_used()) : "-",
                    where ? short_text(*where) : ""});
  }
  print_rows(rows, out);
  if (tasks.empty()) out << "(no tasks)\n";
}

}  // namespace aiofiber::tool
