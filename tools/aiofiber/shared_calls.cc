// SPDX-License-Identifier: Apache-2.0
//
// The table. A line is found if one of its names is imported and none of `and_none_of`, and the module uses
// the variable of libc.
#include "shared_calls.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <string_view>
#include <utility>

namespace aiofiber::tool {
namespace {

using Names = std::initializer_list<const char*>;

struct Line {
  Names names;
  const char* advice;
  Names and_none_of = {};
  const char* and_variable = nullptr;  // of libc
};

constexpr const char kOneStdout[] =
    "tasks write to one stdout: a line that is made by several calls can be cut by another task's, if the "
    "task "
    "waits between them";

const Line kLines[] = {
    {{"fork", "vfork", "__fork"},
     "the child goes on as a plain thread with one task, in the middle of the others' work: exec at once, or "
     "posix_spawn",
     {"execl", "execle", "execlp", "execv", "execve", "execvp", "execvpe", "fexecve"}},
    {{"strtok",        "localtime",      "gmtime",           "ctime",    "asctime",
      "inet_ntoa",     "getpwnam",       "getpwuid",         "getgrnam", "getgrgid",
      "getservbyname", "getprotobyname", "ttyname",          "tmpnam",   "basename",
      "dirname",       "crypt",          "getlogin",         "getdate",  "getmntent",
      "hsearch",       "l64a",           "getpwent",         "getgrent", "getspnam",
      "getservent",    "getservbyport",  "getprotobynumber", "ecvt",     "fcvt",
      "ptsname",       "ether_ntoa",     "ether_aton"},
     "its result is in a static buffer, which the next call of any task changes: the variant with _r, if the "
     "result is "
     "used after a call that waits"},
    {{"getopt", "getopt_long", "getopt_long_only"},
     "optarg and optind are the process's: read all options before the first task"},
    {{"chdir",    "fchdir",    "umask",     "setenv",    "unsetenv", "putenv",      "setlocale",
      "seteuid",  "setegid",   "setrlimit", "clearenv",  "setuid",   "setgid",      "setreuid",
      "setregid", "setresuid", "setresgid", "setgroups", "chroot",   "setpriority", "nice"},
     "changes it for all tasks, also while this one waits: before the first task, or not at all (openat() "
     "and newlocale() have no such state)"},
    {{"pthread_key_create", "tss_create"},
     "a value for each thread is one for all its tasks: AIOFIBER_TASK_KEYS=NAME, a part of this file's name, "
     "in the environment gives each task its own"},
    {{"alarm", "ualarm", "setitimer"},
     "in a task the hooks make it the task's own alarm, also with siglongjmp; a task that computes gets it "
     "at its next call that waits"},
    {{"rand", "random", "drand48", "lrand48", "mrand48", "srand", "srandom"},
     "one sequence for all tasks: a seed gives the same numbers only in the same order of tasks"},
    {{"printf", "puts", "putchar", "vprintf", "__printf_chk", "__vprintf_chk"}, kOneStdout},
    // They may write to other files, too. So they are named only if none of the line before is.
    {{"fputs", "fputc", "putc", "_IO_putc", "fwrite", "fprintf", "vfprintf", "__fprintf_chk",
      "__vfprintf_chk"},
     kOneStdout,
     {},
     "stdout"},
};

using Event = FunctionUses::Event;

std::string_view plain(std::string_view name) { return name.substr(0, name.find('@')); }

// Which functions call those of the table. A program may have millions of calls, so each is looked at once.
class Callers {
 public:
  explicit Callers(const ModuleUses& module) : module_(module) {
    absl::flat_hash_set<std::string_view> wanted;
    for (const Line& line : kLines) {
      wanted.insert(line.names.begin(), line.names.end());
      wanted.insert(line.and_none_of.begin(), line.and_none_of.end());
    }
    std::vector<bool> of_imports, of_functions;
    for (const std::string& import : module.imports) of_imports.push_back(wanted.contains(plain(import)));
    for (const Symbol& symbol : module.functions) of_functions.push_back(wanted.contains(plain(symbol.name)));
    for (std::size_t function = 0; function < module.uses.size(); ++function) {
      for (const Event& event : module.uses[function].events) {
        if (is_use(event.kind)) continue;
        if (!(event.kind == Event::Kind::kImports ? of_imports : of_functions)[event.index]) continue;
        std::vector<std::size_t>& callers = callers_[plain(module.callee(event))];
        if (callers.empty() || callers.back() != function) callers.push_back(function);
      }
    }
  }

  // The user's functions that call it, in the order of the code.
  std::vector<std::size_t> of(const char* name) const {
    std::vector<std::size_t> found;
    if (const auto known = callers_.find(name); known != callers_.end()) {
      std::copy_if(known->second.begin(), known->second.end(), std::back_inserter(found),
                   [&](std::size_t function) {
                     return !module_.functions[function].is_own && !module_.functions[function].is_aiofibers;
                   });
    }
    return found;
  }
  // Whether the function leads to one of these, or is called beside one: a child that is made in a function
  // may go on in its caller.
  bool leads_to(std::size_t function, Names names) const {
    absl::flat_hash_set<std::size_t> ends;
    for (const char* name : names) {
      if (const auto known = callers_.find(name); known != callers_.end())
        ends.insert(known->second.begin(), known->second.end());
    }
    return reaches(function, ends) || std::any_of(ends.begin(), ends.end(), [&](std::size_t caller) {
             const std::vector<Event>& events = module_.uses[caller].events;
             return std::any_of(events.begin(), events.end(), [&](const Event& event) {
               return event.kind == Event::Kind::kCalls && event.index == function;
             });
           });
  }
  const std::string& name_of(std::size_t function) const { return module_.functions[function].name; }

 private:
  bool reaches(std::size_t function, const absl::flat_hash_set<std::size_t>& ends) const {
    absl::flat_hash_set<std::size_t> seen{function};
    for (std::vector<std::size_t> next{function}; !next.empty();) {
      const std::size_t at = next.back();
      next.pop_back();
      if (ends.contains(at)) return true;
      for (const Event& event : module_.uses[at].events) {
        if (event.kind == Event::Kind::kCalls && seen.insert(event.index).second) next.push_back(event.index);
      }
    }
    return false;
  }

  const ModuleUses& module_;
  absl::flat_hash_map<std::string_view, std::vector<std::size_t>> callers_;
};

}  // namespace

std::vector<SharedCalls> find_shared_calls(const ModuleUses& uses,
                                           absl::FunctionRef<bool(const char*)> imports,
                                           absl::FunctionRef<bool(const char*)> has_variable) {
  const Callers callers(uses);
  std::vector<SharedCalls> found;
  for (const Line& line : kLines) {
    if (line.and_variable != nullptr && !has_variable(line.and_variable)) continue;
    if (!found.empty() && found.back().advice == line.advice) continue;
    const bool is_limited = std::any_of(line.and_none_of.begin(), line.and_none_of.end(), imports);
    SharedCalls shared{{}, line.advice, {}};
    for (const char* name : line.names) {
      std::vector<std::size_t> functions = callers.of(name);
      if (is_limited)
        std::erase_if(functions, [&](std::size_t one) { return callers.leads_to(one, line.and_none_of); });
      // With the hooks in the program, some are its own functions, and no imports.
      if (functions.empty() && (is_limited || !imports(name))) continue;
      shared.names.emplace_back(name);
      for (const std::size_t function : functions) {
        const std::string& caller = callers.name_of(function);
        if (std::find(shared.callers.begin(), shared.callers.end(), caller) == shared.callers.end())
          shared.callers.push_back(caller);
      }
    }
    if (!shared.names.empty()) found.push_back(std::move(shared));
  }
  return found;
}

}  // namespace aiofiber::tool
