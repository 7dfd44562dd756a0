// SPDX-License-Identifier: Apache-2.0
//
// The commands, each in a file with its name. They write to `out` and return. They report errors as a
// Failure.
#pragma once

#include <absl/functional/function_ref.h>

#include <ostream>
#include <string>
#include <vector>

#include "inspection.h"
#include "json.h"

namespace aiofiber::tool {

struct Options {
  std::string command;
  pid_t pid = 0;
  std::string core;                // instead of pid
  std::string executable;          // of the core; empty: the path that the core names
  std::string output;              // of core-threads
  std::vector<std::string> tasks;  // ids or names; empty: all
  bool stop = false;
  std::uint64_t most_bytes = SnapshotWishes::kUsualBytes;
  bool source = false;
  bool json = false;
  bool verbose = false;
  bool dot = false;
  bool once = false;       // for top: one table, no screen
  int interval_ms = 1000;  // for top
};

void ps(Inspection& inspection, const Options& options, std::ostream& out);
void stack(Inspection& inspection, const Options& options, std::ostream& out);
void groups(Inspection& inspection, const Options& options, std::ostream& out);
void pstree(Inspection& inspection, const Options& options, std::ostream& out);
void top(Inspection& inspection, const Options& options, std::ostream& out);
void core_threads(Inspection& inspection, const Options& options, std::ostream& out);

// ---- common to several commands

// The traceback of one task, in Python's format.
void print_stack(Inspection& inspection, const TaskSnapshot& task, bool verbose, std::ostream& out);
// What the task does: "waiting for fd 7 readable (socket) since 0.05 s".
std::string doing_text(const Inspection& inspection, const TaskSnapshot& task);
// The members of an open object that describe a task, and its frames, oldest first.
void write_task(JsonWriter& json, const Inspection& inspection, const TaskSnapshot& task);
void write_frames(JsonWriter& json, const std::vector<Frame>& innermost_first);
// Opens the outermost object and writes the members that describe the whole target.
void begin_report(JsonWriter& json, const Inspection& inspection);
// The list of these tasks. `write_rest` adds the command's own members to the open object of the task at that
// index.
void write_tasks(JsonWriter& json, const Inspection& inspection,
                 const std::vector<const TaskSnapshot*>& tasks,
                 absl::FunctionRef<void(std::size_t)> write_rest);
// The place where a task is, as `ps` shows it.
void write_place(JsonWriter& json, Inspection& inspection, const TaskSnapshot& task);
// True for a text of digits only, at least one.
bool is_number(const std::string& text);
// The tasks that the options name; all tasks if they name none. Errors: kUsage for a task that does not
// exist.
std::vector<const TaskSnapshot*> chosen_tasks(const Snapshot& snapshot, const Options& options);

}  // namespace aiofiber::tool
