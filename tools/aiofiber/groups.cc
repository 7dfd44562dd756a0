// SPDX-License-Identifier: Apache-2.0
//
// aiofiber groups: folds tasks with equal stacks into one entry, largest group first, for programs with
// thousands of tasks.
#include <absl/container/btree_map.h>

#include <algorithm>
#include <tuple>

#include "aiofiber/runtime/inspect/wait_kind.h"
#include "commands.h"
#include "inspect/fold_repeats.h"

namespace aiofiber::tool {
namespace {

constexpr std::size_t kShownNames = 4;

using Key = std::tuple<std::string, std::uint32_t, std::vector<Address>>;  // state, kind of wait, calls
using Group = std::pair<Key, std::vector<const TaskSnapshot*>>;

std::string wait_kind_text(std::uint32_t kind) {
  return kind == AIOFIBER_WAIT_NONE ? "" : std::string(" for ") + runtime::wait_kind(kind).what;
}

std::vector<Group> make_groups(Inspection& inspection, const std::vector<const TaskSnapshot*>& tasks) {
  absl::btree_map<Key, std::vector<const TaskSnapshot*>> by_key;
  for (const TaskSnapshot* task : tasks) {
    const bool waits = task->record.state == AIOFIBER_WAITING && !task->on_cpu;
    by_key[{inspection.state(*task), waits ? task->record.wait_kind : 0u, inspection.addresses(*task)}]
        .push_back(task);
  }
  std::vector<Group> groups(by_key.begin(), by_key.end());
  std::stable_sort(groups.begin(), groups.end(),
                   [](const Group& a, const Group& b) { return a.second.size() > b.second.size(); });
  return groups;
}

void print_group(Inspection& inspection, const Group& group, bool verbose, std::ostream& out) {
  const auto& [state, wait_kind, addresses] = group.first;
  const auto& tasks = group.second;
  out << tasks.size() << (tasks.size() == 1 ? " task, " : " tasks, ") << state << wait_kind_text(wait_kind)
      << ": ";
  for (std::size_t i = 0; i < std::min(tasks.size(), kShownNames); ++i) {
    out << (i > 0 ? ", " : "") << tasks[i]->record.id << " '" << printable(tasks[i]->name()) << "'";
  }
  out << (tasks.size() > kShownNames ? ", ...\n" : "\n");
  std::vector<Frame> frames = inspection.frames(addresses, verbose);
  if (frames.empty()) frames = inspection.frames(addresses, true);
  std::vector<std::string> lines;
  for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) lines.push_back(short_text(*frame));
  runtime::fold_repeats(
      lines.size(), [&](std::size_t i, std::size_t k) { return lines[i] == lines[k]; },
      [&](std::size_t i) { out << "    " << lines[i] << '\n'; },
      [&](std::size_t count, std::size_t times) {
        out << "    " << runtime::repeats_text(count, times) << '\n';
      });
}

}  // namespace

void groups(Inspection& inspection, const Options& options, std::ostream& out) {
  const auto tasks = chosen_tasks(inspection.snapshot(), options);
  const std::vector<Group> all = make_groups(inspection, tasks);
  if (options.json) {
    JsonWriter json(out);
    begin_report(json, inspection);
    json.key("groups");
    json.begin_array();
    for (const Group& group : all) {
      json.begin_object();
      json.member("count", group.second.size());
      json.member("state", std::get<0>(group.first));
      json.key("tasks");
      json.begin_array();
      for (const TaskSnapshot* task : group.second) json.value(task->record.id);
      json.end_array();
      write_frames(json, inspection.frames(std::get<2>(group.first), options.verbose));
      json.end_object();
    }
    json.end_array();
    json.end_object();
    return;
  }
  out << tasks.size() << (tasks.size() == 1 ? " task in " : " tasks in ") << all.size()
      << (all.size() == 1 ? " group of equal stacks\n" : " groups of equal stacks\n");
  for (const Group& group : all) {
    out << '\n';
    print_group(inspection, group, options.verbose, out);
  }
}

}  // namespace aiofiber::tool
