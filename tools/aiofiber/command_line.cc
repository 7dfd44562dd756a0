// SPDX-License-Identifier: Apache-2.0
//
// The table itself, and its form as the text of --help.
#include "command_line.h"

#include <algorithm>

#include "failure.h"

namespace aiofiber::tool {
namespace {

constexpr std::string_view kUsageForms[] = {
    "COMMAND PID [TASK...] [OPTION...]",
    "COMMAND --core CORE [EXE] [TASK...] [OPTION...]",
    "trace PID [--seconds S] [--interval S] [-o FILE] [--readable]",
    "trace FILE [--json] [-v]",
    "hooks --check PROGRAM|PID [--json] [-v]",
};

constexpr std::string_view kIntroduction =
    "Shows what the tasks of a program built with aiofiber are doing. The program is not stopped, not "
    "traced, and "
    "runs no code for it. A TASK is an id or a name.";

constexpr CommandHelp kCommands[] = {
    {"ps", "a line a task",
     "a line a task: thread, id, name, state, what it waits for, since when, switches, stack, place",
     WordKind::kProcess},
    {"stack", "the calls of each task", "the calls of each task, with file, line and source",
     WordKind::kProcess},
    {"groups", "tasks with equal stacks", "tasks with equal stacks as one entry, largest first",
     WordKind::kProcess},
    {"pstree", "who awaits whom", "who awaits whom, with the calls between; circles are marked",
     WordKind::kProcess},
    {"top", "a screen that refreshes",
     "a screen that refreshes: busiest, longest waiting, most stack; its last line names the keys",
     WordKind::kProcess},
    {"trace PID", "write or read a timeline",
     "a timeline for ui.perfetto.dev, sampled until Ctrl-C or for --seconds; what is shorter than --interval "
     "is "
     "counted, not drawn (AIOFIBER_TRACE=FILE, set for the program, records everything)",
     WordKind::kProcessOrFile},
    {"trace FILE", "write or read a timeline",
     "what happened in a timeline, also one whose program was killed: runs, waits, and how long woken tasks "
     "waited to run. Of -v: every task",
     WordKind::kProcessOrFile},
    {"core-threads --core CORE [EXE] --output OUT", "tasks of a core as threads",
     "a copy of the core in which each suspended task is a thread, for any debugger", WordKind::kNothing},
    {"hooks --check PROGRAM|PID", "calls that block past the hooks",
     "which calls of a program and its libraries would block the thread past the hooks; any program or "
     "library, "
     "or any process with what it has opened since. Of -v: what blocks rarely, too",
     WordKind::kProcessOrFile},
};

constexpr OptionHelp kOptions[] = {
    {"", "--core", "CORE [EXE]", WordKind::kFile, "ps stack groups pstree core-threads",
     "a core file instead of a process",
     "a core file instead of a process; EXE when the executable is not where the core says"},
    {"", "--stop", "", WordKind::kNothing, "ps stack groups pstree",
     "stop the process for the moment of the copy",
     "stop the process for the moment of the copy, for the stacks of running tasks as well"},
    {"", "--json", "", WordKind::kNothing, "ps stack groups pstree top trace hooks", "JSON, for programs",
     "JSON, for programs"},
    {"", "--source", "", WordKind::kNothing, "ps stack groups pstree",
     "show source though the program is another user's",
     "show lines of source although the program belongs to another user, who says which files these are"},
    {"", "--max-memory", "BYTES", WordKind::kNumber, "ps stack groups pstree top core-threads",
     "limit of what is copied, as 64M",
     "for what is copied of the program: 64M, 2G (default 1G); what is more is left out, with a warning"},
    {"", "--dot", "", WordKind::kNothing, "pstree", "a graph for graphviz",
     "of pstree: a graph for graphviz"},
    {"", "--interval", "SECONDS", WordKind::kNumber, "top trace", "seconds between two looks",
     "of top: between two refreshes (default 1); of trace: between two looks (default 0.001)"},
    {"", "--seconds", "SECONDS", WordKind::kNumber, "trace", "how long to record", "of trace: how long"},
    {"", "--once", "", WordKind::kNothing, "top", "one table of two snapshots",
     "of top: one table of two snapshots; so it is too when the output is no terminal"},
    {"-o", "--output", "OUT", WordKind::kFile, "core-threads trace", "the file to write",
     "the file that core-threads or trace writes (of trace by default trace-PID.json)"},
    {"", "--readable", "", WordKind::kNothing, "trace", "others may read the file",
     "of trace: others may read the file too; else it is the owner's alone"},
    {"", "--check", "", WordKind::kNothing, "hooks", "look at a program or a process",
     "of hooks, which does nothing else"},
    {"-v", "--verbose", "", WordKind::kNothing, "stack groups pstree trace hooks",
     "show what is usually left out", "the frames of aiofiber itself too"},
    {"-h", "--help", "", WordKind::kNothing, "", "show a help text", "this text"},
    {"", "--version", "", WordKind::kNothing, "", "show the version", "the version of the command"},
};

constexpr int code_of(Exit code) { return static_cast<int>(code); }
constexpr ExitHelp kExits[] = {
    {code_of(Exit::kOk), "done"},
    {code_of(Exit::kInternal), "internal error or output that cannot be written"},
    {code_of(Exit::kUsage), "wrong usage"},
    {code_of(Exit::kNoProcess), "no such process (or it ended meanwhile)"},
    {code_of(Exit::kNotAiofiber), "not an aiofiber program"},
    {code_of(Exit::kVersion), "another version of the registry"},
    {code_of(Exit::kPermission), "no permission"},
    {code_of(Exit::kCore), "a core file, program or trace that cannot be used"},
};

constexpr std::size_t kWidth = 108;

// Appends the words of `text` in lines of at most kWidth columns. The first one begins at `column`, which is
// where the line ends now; the others are indented so far.
void append_wrapped(std::string& out, std::string_view text, std::size_t column) {
  std::size_t at = column;
  bool first = true;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (!first && at + 1 + word.size() > kWidth) {
      out.append("\n").append(column, ' ');
      at = column;
    } else if (!first) {
      out += ' ';
      ++at;
    }
    out += word;
    at += word.size();
    first = false;
  }
  out += '\n';
}

// A line or several: `name` at column 2, `text` at `column`.
void append_entry(std::string& out, std::string_view name, std::string_view text, std::size_t column) {
  out.append("  ").append(name);
  if (name.size() + 4 > column) {
    out.append("\n").append(column, ' ');
  } else {
    out.append(column - 2 - name.size(), ' ');
  }
  append_wrapped(out, text, column);
}

}  // namespace

std::span<const std::string_view> usage_forms() { return kUsageForms; }
std::span<const CommandHelp> commands_help() { return kCommands; }
std::span<const OptionHelp> options_help() { return kOptions; }
std::span<const ExitHelp> exits_help() { return kExits; }

std::string_view command_name(const CommandHelp& command) {
  return command.form.substr(0, command.form.find(' '));
}

bool belongs_to(const OptionHelp& option, std::string_view command) {
  std::string_view rest = option.commands;
  while (!rest.empty()) {
    const std::string_view name = rest.substr(0, rest.find(' '));
    if (name == command) return true;
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
  }
  return false;
}

std::string help_text() {
  std::string out;
  for (const std::string_view form : kUsageForms) {
    out.append(out.empty() ? "usage: aiofiber " : "       aiofiber ").append(form) += '\n';
  }
  out += '\n';
  append_wrapped(out, kIntroduction, 0);
  out += '\n';
  for (const CommandHelp& command : kCommands) append_entry(out, command.form, command.text, 11);
  out += "\nOptions:\n";
  for (const OptionHelp& option : kOptions) {
    std::string name(option.short_name);
    name.append(name.empty() ? "" : ", ").append(option.name);
    name.append(option.argument.empty() ? "" : " ").append(option.argument);
    append_entry(out, name, option.text, 22);
  }
  out += '\n';
  std::string exits = "Exit codes:";
  for (const ExitHelp& exit : kExits) {
    exits.append(exit.code == 0 ? " " : ", ").append(std::to_string(exit.code)).append(" ").append(exit.text);
  }
  append_wrapped(out, exits + '.', 0);
  return out;
}

}  // namespace aiofiber::tool
