// SPDX-License-Identifier: Apache-2.0
//
// aiofiber pstree: the graph of waiting tasks. A task's calls are below it, and the tasks it awaits below the
// innermost call.
//
// A record names the awaited task, or the gather, group and so on through which it awaits several. For a
// lock, the owner is looked up and printed below the waiter, as an awaited task is. A task that awaits a
// plain future does not publish who sets it. Then the tasks that it created are below it, marked as created.
// A circle of waiting tasks is shown and marked; it is no error. A branch of more than kDeepest tasks goes on
// at the left margin. --dot writes the same graph for graphviz.
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "commands.h"
#include "inspect/fold_repeats.h"

namespace aiofiber::tool {
namespace {

enum class Relation { kAwaited, kHoldsItsLock, kCreated };
struct Edge {
  const TaskSnapshot* to;
  Relation relation;
  bool certain = true;  // both ends were read at the same moment
};

// The text before the task at the end of a branch, on an arrow of --dot, and as the name of a list in JSON.
std::string branch_text(const Edge& edge) {
  return std::string(edge.certain ? "" : "(a moment ago) ") +
         (edge.relation == Relation::kHoldsItsLock ? "holds the lock: "
          : edge.relation == Relation::kCreated    ? "created "
                                                   : "");
}
const char* arrow_attributes(Relation relation) {
  return relation == Relation::kHoldsItsLock ? " [style=bold, label=\"held by\"]"
         : relation == Relation::kCreated    ? " [style=dotted, label=created]"
                                             : "";
}
const char* json_name(Relation relation) {
  return relation == Relation::kHoldsItsLock ? "waits_for_lock_of"
         : relation == Relation::kCreated    ? "created"
                                             : "awaits";
}

constexpr std::size_t kDeepest = 32;  // tasks on one branch
constexpr std::uint64_t kNoTask = 0;  // the parent of the roots

// The position of a printed task.
struct Place {
  std::string branch;  // in front of the task
  std::string margin;  // before the lines below it
  std::size_t depth = 0;
};

class Tree {
 public:
  Tree(Inspection& inspection, const Options& options) : inspection_(inspection), options_(options) {
    const Snapshot& snapshot = inspection.snapshot();
    for (const TaskSnapshot& task : snapshot.tasks) {
      for (const Edge& edge : waits(task)) has_waiter_.insert(edge.to->record.id);
    }
    for (const TaskSnapshot& task : snapshot.tasks) {
      const std::uint64_t spawner = task.record.spawner;
      if (!has_waiter_.contains(task.record.id) && snapshot.find(spawner) != nullptr) {
        created_[spawner].push_back(&task);
      }
    }
  }

  std::vector<Edge> edges(const TaskSnapshot& task) const {
    std::vector<Edge> edges = waits(task);
    if (const auto found = created_.find(task.record.id); found != created_.end()) {
      for (const TaskSnapshot* child : found->second) edges.push_back({child, Relation::kCreated});
    }
    return edges;
  }

  // First tasks without a parent, then tasks that are only in a circle.
  void print(std::ostream& out) {
    std::vector<const TaskSnapshot*> roots;
    for (const TaskSnapshot* task : chosen_tasks(inspection_.snapshot(), options_)) {
      const bool under_other = has_waiter_.contains(task->record.id) ||
                               inspection_.snapshot().find(task->record.spawner) != nullptr;
      if (!options_.tasks.empty() || !under_other) roots.push_back(task);
    }
    for (const TaskSnapshot* root : roots) print_tree(*root, out);
    if (!options_.tasks.empty()) return;
    for (const TaskSnapshot& task : inspection_.snapshot().tasks) {
      if (!above_.contains(task.record.id)) print_tree(task, out);
    }
  }

  // The tasks of the circles, each in the order of waiting.
  std::vector<std::vector<std::uint64_t>> circles() const {
    std::vector<std::vector<std::uint64_t>> found;
    absl::flat_hash_set<std::uint64_t> visited;
    for (const TaskSnapshot& start : inspection_.snapshot().tasks) find_circles(start, visited, found);
    return found;
  }

  std::vector<Edge> waits(const TaskSnapshot& task) const {
    const aiofiber_record& record = task.record;
    if (!task.waits()) return {};
    std::vector<Edge> edges;
    const auto add = [&](const TaskSnapshot* awaited) {
      edges.push_back({awaited, Relation::kAwaited, task.seen_together(*awaited)});
    };
    if (record.wait_kind == AIOFIBER_WAIT_TASK) {
      if (const TaskSnapshot* awaited = inspection_.snapshot().find(record.wait_arg)) add(awaited);
    } else if (const TaskSnapshot* owner = inspection_.snapshot().find_owner(task)) {
      edges.push_back({owner, Relation::kHoldsItsLock, task.seen_with_owner(*owner)});
    } else {
      for (const TaskSnapshot* awaited : inspection_.snapshot().watched_by(task)) add(awaited);
    }
    return edges;
  }

  // Only certain edges: a circle of ends that were not read together may never have existed.
  std::vector<const TaskSnapshot*> awaited_tasks(const TaskSnapshot& task) const {
    std::vector<const TaskSnapshot*> awaited;
    for (const Edge& edge : waits(task)) {
      if (edge.certain) awaited.push_back(edge.to);
    }
    return awaited;
  }

 private:
  // A depth-first walk with its own stack: chains of waiting can be as long as there are tasks.
  void find_circles(const TaskSnapshot& start, absl::flat_hash_set<std::uint64_t>& visited,
                    std::vector<std::vector<std::uint64_t>>& found) const {
    struct Step {
      std::uint64_t id;
      std::vector<const TaskSnapshot*> awaited;
      std::size_t next = 0;
    };
    if (!visited.insert(start.record.id).second) return;
    std::vector<Step> path{{start.record.id, awaited_tasks(start)}};
    while (!path.empty()) {
      Step& step = path.back();
      if (step.next == step.awaited.size()) {
        path.pop_back();
        continue;
      }
      const TaskSnapshot& awaited = *step.awaited[step.next++];
      const std::uint64_t id = awaited.record.id;
      const auto begin = std::find_if(path.begin(), path.end(), [id](const Step& s) { return s.id == id; });
      if (begin != path.end()) {
        auto& circle = found.emplace_back();
        for (auto at = begin; at != path.end(); ++at) circle.push_back(at->id);
      } else if (visited.insert(id).second) {
        path.push_back({id, awaited_tasks(awaited)});
      }
    }
  }

  // The length of lines and the depth of recursion must not grow with a chain of waiting, which can be as
  // long as there are tasks.
  void print_tree(const TaskSnapshot& root, std::ostream& out) {
    print_task({&root, Relation::kAwaited}, kNoTask, Place{}, out);
    while (!cut_.empty()) {
      const auto [task, parent] = cut_.front();
      cut_.pop_front();
      print_task({task, Relation::kAwaited}, parent, Place{}, out);
    }
  }

  // `parent`: the task above it.
  void print_task(const Edge& edge, std::uint64_t parent, const Place& place, std::ostream& out) {
    const TaskSnapshot& task = *edge.to;
    const std::uint64_t id = task.record.id;
    out << place.branch << branch_text(edge) << "task " << id << " '" << printable(task.name()) << "', "
        << doing_text(inspection_, task);
    if (above_.contains(id)) {
      out << (edge.certain && stands_under(parent, id) ? "  <-- a circle: it waits for itself\n"
                                                       : "  (shown above)\n");
      return;
    }
    if (place.depth == kDeepest) {
      out << "  (goes on below)\n";
      cut_.emplace_back(&task, parent);
      return;
    }
    above_.emplace(id, Above{parent, edge.certain});
    out << '\n';
    const std::vector<Frame> frames = inspection_.frames(inspection_.addresses(task), options_.verbose);
    std::vector<std::string> lines;
    for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) lines.push_back(short_text(*frame));
    runtime::fold_repeats(
        lines.size(), [&](std::size_t i, std::size_t k) { return lines[i] == lines[k]; },
        [&](std::size_t i) { out << place.margin << "  " << lines[i] << '\n'; },
        [&](std::size_t count, std::size_t times) {
          out << place.margin << "  " << runtime::repeats_text(count, times) << '\n';
        });
    const std::vector<Edge> below = edges(task);
    for (std::size_t i = 0; i < below.size(); ++i) {
      const bool last = i + 1 == below.size();
      print_task(below[i], id,
                 {place.margin + (last ? "  └─ " : "  ├─ "), place.margin + (last ? "     " : "  │  "),
                  place.depth + 1},
                 out);
    }
  }

  bool stands_under(std::uint64_t id, std::uint64_t ancestor) const {
    while (id != kNoTask && id != ancestor && above_.at(id).certain) id = above_.at(id).task;
    return id == ancestor;
  }

  Inspection& inspection_;
  const Options& options_;
  absl::flat_hash_set<std::uint64_t> has_waiter_;
  absl::flat_hash_map<std::uint64_t, std::vector<const TaskSnapshot*>>
      created_;  // by the task that created them
  struct Above {
    std::uint64_t task;
    bool certain;  // whether it waits for the task below
  };
  absl::flat_hash_map<std::uint64_t, Above> above_;  // for each printed task, the task above it
  // Tasks whose branch goes on at the left margin, with the task above.
  std::deque<std::pair<const TaskSnapshot*, std::uint64_t>> cut_;
};

std::string dot_quoted(const std::string& text) {
  std::string quoted;
  for (const char c : printable(text)) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted;
}

void print_dot(Inspection& inspection, const Options& options, const Tree& tree, std::ostream& out) {
  out << "digraph tasks {\n  rankdir=LR;\n  node [shape=box, fontname=\"monospace\"];\n";
  absl::flat_hash_set<std::uint64_t> in_circle;
  for (const auto& circle : tree.circles()) in_circle.insert(circle.begin(), circle.end());
  for (const TaskSnapshot* task : chosen_tasks(inspection.snapshot(), options)) {
    const auto where = inspection.where(*task);
    out << "  t" << task->record.id << " [label=\"" << task->record.id << " " << dot_quoted(task->name())
        << "\\n"
        << dot_quoted(doing_text(inspection, *task)) << (where ? "\\n" + dot_quoted(short_text(*where)) : "")
        << '"' << (in_circle.contains(task->record.id) ? ", color=red" : "") << "];\n";
    for (const Edge& edge : tree.edges(*task)) {
      out << "  t" << task->record.id << " -> t" << edge.to->record.id
          << (edge.certain ? arrow_attributes(edge.relation) : " [style=dotted, label=\"a moment ago\"]")
          << ";\n";
    }
  }
  out << "}\n";
}

void print_json(Inspection& inspection, const Options& options, const Tree& tree, std::ostream& out) {
  JsonWriter json(out);
  begin_report(json, inspection);
  json.key("tasks");
  json.begin_array();
  for (const TaskSnapshot* task : chosen_tasks(inspection.snapshot(), options)) {
    json.begin_object();
    write_task(json, inspection, *task);
    for (const Relation relation : {Relation::kAwaited, Relation::kHoldsItsLock, Relation::kCreated}) {
      json.key(json_name(relation));
      json.begin_array();
      for (const Edge& edge : tree.edges(*task)) {
        if (edge.relation == relation && edge.certain) json.value(edge.to->record.id);
      }
      json.end_array();
    }
    json.key("uncertain");
    json.begin_array();
    for (const Edge& edge : tree.edges(*task)) {
      if (!edge.certain) json.value(edge.to->record.id);
    }
    json.end_array();
    write_frames(json, inspection.frames(inspection.addresses(*task), options.verbose));
    json.end_object();
  }
  json.end_array();
  json.key("circles");
  json.begin_array();
  for (const auto& circle : tree.circles()) {
    json.begin_array();
    for (const std::uint64_t id : circle) json.value(id);
    json.end_array();
  }
  json.end_array();
  json.end_object();
}

}  // namespace

void pstree(Inspection& inspection, const Options& options, std::ostream& out) {
  Tree tree(inspection, options);
  if (options.json) return print_json(inspection, options, tree, out);
  if (options.dot) return print_dot(inspection, options, tree, out);
  tree.print(out);
  if (inspection.snapshot().tasks.empty()) out << "(no tasks)\n";
}

}  // namespace aiofiber::tool
