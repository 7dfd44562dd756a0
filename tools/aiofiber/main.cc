// SPDX-License-Identifier: Apache-2.0
//
// The `aiofiber` command: shows what the tasks of a running process, or of a core file, do.
#include <malloc.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>
#include <string_view>

#include "commands.h"
#include "failure.h"
#include "guarded_open.h"
#include "hooks_check.h"
#include "inspection.h"
#include "trace_command.h"

namespace {

using namespace aiofiber::tool;

constexpr char kUsage[] = R"(usage: aiofiber COMMAND PID [TASK...] [OPTION...]
       aiofiber COMMAND --core CORE [EXE] [TASK...] [OPTION...]
       aiofiber trace PID [--seconds S] [--interval S] [-o FILE] [--readable]
       aiofiber trace FILE [--json] [-v]
       aiofiber hooks --check PROGRAM|PID [--json] [-v]

Shows what the tasks of a program built with aiofiber are doing. The program is not stopped, not traced, and
runs no code for it. A TASK is an id or a name.

  ps       a line a task: thread, id, name, state, what it waits for, since when, switches, stack, place
  stack    the calls of each task, with file, line and source
  groups   tasks with equal stacks as one entry, largest first
  pstree   who awaits whom, with the calls between; circles are marked
  top      a screen that refreshes: busiest, longest waiting, most stack; its last line names the keys
  trace PID
           a timeline for ui.perfetto.dev, sampled until Ctrl-C or for --seconds; what is shorter than
           --interval is counted, not drawn (AIOFIBER_TRACE=FILE, set for the program, records everything)
  trace FILE
           what happened in a timeline, also one whose program was killed: runs, waits, and how long woken
           tasks waited to run. Of -v: every task
  core-threads --core CORE [EXE] --output OUT
           a copy of the core in which each suspended task is a thread, for any debugger
  hooks --check PROGRAM|PID
           which calls of a program and its libraries would block the thread past the hooks; any program or
           library, or any process with what it has opened since. Of -v: what blocks rarely, too

Options:
  --core CORE [EXE]   a core file instead of a process; EXE when the executable is not where the core says
  --stop              stop the process for the moment of the copy, for the stacks of running tasks as well
  --json              the same for programs
  --source            show lines of source although the program belongs to another user, who says which
                      files these are
  --max-memory BYTES  for what is copied of the program: 64M, 2G (default 1G); what is more is left out,
                      with a warning
  --dot               of pstree: a graph for graphviz
  --interval SECONDS  of top: between two refreshes (default 1); of trace: between two looks (default
                      0.001)
  --seconds SECONDS   of trace: how long
  --once              of top: one table of two snapshots; so it is too when the output is no terminal
  -o, --output OUT    the file that core-threads or trace writes (of trace by default trace-PID.json)
  --readable          of trace: others may read the file too; else it is the owner's alone
  -v, --verbose       the frames of aiofiber itself too
  -h, --help          this text
  --version           the version of the command

Exit codes: 0 done, 1 internal error or output that cannot be written, 2 wrong usage, 3 no such process (or it
ended meanwhile), 4 not an aiofiber program, 5 another version of the registry, 6 no permission, 7 a core
file, program or trace that cannot be used.
)";

[[noreturn]] void usage_error(const std::string& text) {
  throw Failure(Exit::kUsage, text + " (aiofiber --help shows what there is)");
}

pid_t parse_pid(std::string_view text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc() || end != text.data() + text.size() || pid <= 0) {
    usage_error("'" + std::string(text) + "' is not the id of a process");
  }
  return pid;
}

int parse_interval(const std::string& text) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || !(seconds >= 0.01 && seconds <= 86400)) {
    usage_error("--interval wants seconds, from 0.01 to 86400, not '" + text + "'");
  }
  return static_cast<int>(seconds * 1000);
}

// "1048576", "64K", "512M", "2G".
std::uint64_t parse_bytes(const std::string& text) {
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const int shift = unit == "" ? 0 : unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : -1;
  constexpr std::uint64_t kLeast = 1 << 20, kMost = std::uint64_t{1} << 50;
  if (error != std::errc() || shift < 0 || count > kMost >> shift || count << shift < kLeast) {
    usage_error("--max-memory wants at least 1M, in bytes or with K, M or G behind, not '" + text + "'");
  }
  return count << shift;
}

Options parse(int argc, char** argv) {
  Options options;
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--core") {
      if (++i == argc) usage_error("--core wants the name of a core file");
      options.core = argv[i];
      // The executable may follow, if the next word is a file.
      if (i + 1 < argc && argv[i + 1][0] != '-' && access(argv[i + 1], F_OK) == 0)
        options.executable = argv[++i];
    } else if (word == "--stop") {
      options.stop = true;
    } else if (word == "--interval") {
      if (++i == argc) usage_error("--interval wants a number of seconds");
      options.interval_ms = parse_interval(argv[i]);
    } else if (word == "--max-memory") {
      if (++i == argc) usage_error("--max-memory wants a number of bytes, as 512M");
      options.most_bytes = parse_bytes(argv[i]);
    } else if (word == "--source") {
      options.source = true;
    } else if (word == "--once") {
      options.once = true;
    } else if (word == "--dot") {
      options.dot = true;
    } else if (word == "-o" || word == "--output") {
      if (++i == argc) usage_error(word + " wants the name of a file");
      options.output = argv[i];
    } else if (word == "--json") {
      options.json = true;
    } else if (word == "-v" || word == "--verbose") {
      options.verbose = true;
    } else if (word.size() > 1 && word[0] == '-') {
      usage_error("unknown option '" + word + "'");
    } else {
      words.push_back(word);
    }
  }
  if (words.empty()) usage_error("which command?");
  options.command = words[0];
  std::size_t next = 1;
  if (options.core.empty()) {
    if (words.size() < 2) usage_error("which process? Give its id, or --core CORE");
    options.pid = parse_pid(words[next++]);
  } else if (options.stop) {
    usage_error("--stop is for processes: a core stands still");
  } else if (words.size() > next && words[next].find('/') != std::string::npos) {
    throw Failure(Exit::kCore, "there is no executable " + words[next]);
  }
  if (options.command == "core-threads" && (options.core.empty() || options.output.empty())) {
    usage_error("core-threads wants --core CORE and --output OUT");
  }
  if (options.command == "top") {
    if (!options.core.empty()) usage_error("top watches a process: of a core, see ps");
    if (options.stop) usage_error("top never stops the process: see ps --stop");
    if (words.size() > next) usage_error("top shows all tasks: to see one, choose it there or see stack");
  }
  options.tasks.assign(words.begin() + static_cast<std::ptrdiff_t>(next), words.end());
  return options;
}

using Command = void (*)(Inspection&, const Options&, std::ostream&);

Command find_command(const std::string& name) {
  if (name == "ps") return ps;
  if (name == "stack") return stack;
  if (name == "groups") return groups;
  if (name == "pstree") return pstree;
  if (name == "top") return top;
  if (name == "core-threads") return core_threads;
  usage_error("unknown command '" + name + "'");
}

void run(const Options& options) {
  const Command command = find_command(options.command);
  const auto target =
      options.core.empty() ? open_process(options.pid) : open_core(options.core, options.executable);
  // A tree shows other tasks than the named ones, and top shows all.
  const bool all = options.command == "pstree" || options.command == "top";
  Inspection inspection(*target, {options.stop, all ? std::vector<std::string>{} : options.tasks,
                                  options.most_bytes, options.source});
  if (const std::string left_out = inspection.left_out(); !left_out.empty()) {
    std::fprintf(stderr, "aiofiber: warning: %s\n", left_out.c_str());
  }
  if (options.command != "top") {
    for (const std::string& sentence : inspection.standing_loops())
      std::fprintf(stderr, "aiofiber: %s\n", sentence.c_str());
  }
  if (!inspection.shows_source() && options.command == "stack" && !options.json) {
    std::fprintf(stderr,
                 "aiofiber: %s belongs to another user, who says where its source is: --source reads it\n",
                 target->name().c_str());
  }
  if (const std::string missing = inspection.missing_stacks(); !missing.empty()) {
    std::fprintf(stderr, "aiofiber: warning: %s\n", missing.c_str());
  }
  command(inspection, options, std::cout);
}

void say_what_was_refused() {
  for (const std::string& file : refused_files()) {
    std::fprintf(stderr,
                 "aiofiber: warning: %s was not opened, though the program names it: it is no regular file "
                 "with a program or library in it\n",
                 printable(file).c_str());
  }
}

// Abseil's hash tables do not survive a failed allocation, so nothing here goes on after one: not even
// destructors.
void end_without_memory() {
  constexpr std::string_view kText = "aiofiber: no memory\n";
  if (write(STDERR_FILENO, kText.data(), kText.size()) < 0) {
    // There is nobody to tell.
  }
  std::quick_exit(static_cast<int>(Exit::kInternal));
}

// A truncated report must not look like a complete one.
void finish_output() {
  std::cout.flush();
  if (!std::cout) throw Failure(Exit::kInternal, "the output could not be written whole (a full disk?)");
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "-h" || word == "--help") {
      std::fputs(kUsage, stdout);
      return 0;
    }
    if (word == "--version") {
      std::printf("aiofiber %s, registry version %d\n", AIOFIBER_VERSION, AIOFIBER_REGISTRY_VERSION);
      return 0;
    }
  }
  std::set_new_handler(end_without_memory);
  std::ios::sync_with_stdio(false);
  mallopt(M_MMAP_THRESHOLD, 1 << 20);  // memory of a stack's copy is returned and not kept for the next
  unsetenv("DEBUGINFOD_URLS");  // libdwfl would ask the network for what has the build ids that a target says
  try {
    const std::string_view command = argc > 1 ? argv[1] : "";
    if (command == "hooks" || command == "trace") {
      (command == "hooks" ? hooks : trace)({argv + 2, argv + argc}, std::cout);
    } else {
      run(parse(argc, argv));
    }
    finish_output();
    say_what_was_refused();
    return 0;
  } catch (const Failure& failure) {
    std::cout.flush();
    say_what_was_refused();
    std::fprintf(stderr, "aiofiber: %s\n", failure.what());
    return static_cast<int>(failure.code);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "aiofiber: internal error: %s\n", error.what());
    return static_cast<int>(Exit::kInternal);
  }
}
