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

#include "command_line.h"
#include "commands.h"
#include "failure.h"
#include "guarded_open.h"
#include "hooks_check.h"
#include "inspection.h"
#include "trace_command.h"

namespace {

using namespace aiofiber::tool;

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

// An option that a command does not heed would promise something: ps --dot gives no graph.
void refuse_options_of_others(const std::string& command, const std::vector<std::string>& given) {
  for (const std::string& word : given) {
    for (const OptionHelp& option : options_help()) {
      if (word != option.name && word != option.short_name) continue;
      if (option.commands.empty() || belongs_to(option, command)) break;
      usage_error(word + " is an option of " + std::string(option.commands) + ", not of " + command);
    }
  }
}

Options parse(int argc, char** argv) {
  Options options;
  std::vector<std::string> words, given;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.size() > 1 && word[0] == '-') given.push_back(word);
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
  find_command(options.command);
  refuse_options_of_others(options.command, given);
  options.tasks.assign(words.begin() + static_cast<std::ptrdiff_t>(next), words.end());
  return options;
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
      std::fputs(help_text().c_str(), stdout);
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
    std::fprintf(stderr, "aiofiber: %s\n", printable(failure.what()).c_str());
    return static_cast<int>(failure.code);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "aiofiber: internal error: %s\n", printable(error.what()).c_str());
    return static_cast<int>(Exit::kInternal);
  }
}
