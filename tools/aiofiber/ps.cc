// SPDX-License-Identifier: Apache-2.0
//
// aiofiber ps: one line for each task.
#include <absl/container/flat_hash_map.h>
#include <absl/strings/str_cat.h>

#include <string>

#include "columns.h"
#include "commands.h"

namespace aiofiber::tool {
namespace {

const std::vector<Column> kColumns{
    {"THREAD", false}, {"ID", true},       {"NAME", false}, {"STATE", false},  {"WAITS FOR", false},
    {"SINCE", true},   {"SWITCHES", true}, {"STACK", true}, {"DEEPEST", true}, {"WHERE", false}};

// "20 KiB of 256": the most of its stack that was ever used.
std::string deepest_text(const Inspection& inspection, const TaskSnapshot& task) {
  const auto deepest = inspection.stack_deepest(task);
  if (!deepest) return "-";
  return absl::StrCat(*deepest / 1024, " of ", (task.record.stack_high - task.record.stack_low) / 1024,
                      " KiB");
}

}  // namespace

void ps(Inspection& inspection, const Options& options, std::ostream& out) {
  const auto tasks = chosen_tasks(inspection.snapshot(), options);
  if (options.json) {
    JsonWriter json(out);
    begin_report(json, inspection);
    write_tasks(json, inspection, tasks, [&](std::size_t i) { write_place(json, inspection, *tasks[i]); });
    json.end_object();
    return;
  }
  absl::flat_hash_map<std::uint32_t, std::string> threads;
  std::vector<std::vector<std::string>> rows;
  for (const TaskSnapshot* task : tasks) {
    const aiofiber_record& record = task->record;
    const auto [thread, fresh] = threads.try_emplace(record.tid);
    if (fresh) {
      const std::string name = printable(inspection.target().thread_name(record.tid));
      thread->second = absl::StrCat(record.tid, name.empty() ? "" : " ", name);
    }
    const auto since = inspection.since_ns(*task);
    const auto where = inspection.where(*task);
    rows.push_back({record.tid != 0 ? thread->second : "-", absl::StrCat(record.id), printable(task->name()),
                    inspection.state(*task), inspection.waits_for(*task), since ? duration_text(*since) : "-",
                    absl::StrCat(record.switches),
                    task->stack_used() != 0 ? bytes_text(task->stack_used()) : "-",
                    deepest_text(inspection, *task), where ? short_text(*where) : ""});
  }
  for (const std::string& line : table_lines(kColumns, rows)) out << line << '\n';
  if (tasks.empty()) out << "(no tasks)\n";
}

}  // namespace aiofiber::tool
