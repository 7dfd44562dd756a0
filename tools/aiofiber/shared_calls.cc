// SPDX-License-Identifier: Apache-2.0
//
// The table. A line is found if one of its names is imported and none of `and_none_of`, and the module uses
// the variable of libc.
#include "shared_calls.h"

#include <initializer_list>

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
    // They may write to other files; then a program seldom has the variable.
    {{"fputs", "fputc", "putc", "_IO_putc", "fwrite", "fprintf", "vfprintf", "__fprintf_chk",
      "__vfprintf_chk"},
     kOneStdout,
     {},
     "stdout"},
};

std::vector<std::string> those_of(Names names, absl::FunctionRef<bool(const char*)> imports) {
  std::vector<std::string> found;
  for (const char* name : names) {
    if (imports(name)) found.emplace_back(name);
  }
  return found;
}

}  // namespace

std::vector<SharedCalls> find_shared_calls(absl::FunctionRef<bool(const char*)> imports,
                                           absl::FunctionRef<bool(const char*)> has_variable) {
  std::vector<SharedCalls> found;
  for (const Line& line : kLines) {
    if (line.and_variable != nullptr && !has_variable(line.and_variable)) continue;
    if (!those_of(line.and_none_of, imports).empty()) continue;
    std::vector<std::string> names = those_of(line.names, imports);
    if (names.empty()) continue;
    if (!found.empty() && found.back().advice == line.advice) {
      found.back().names.insert(found.back().names.end(), names.begin(), names.end());
    } else {
      found.push_back({std::move(names), line.advice});
    }
  }
  return found;
}

}  // namespace aiofiber::tool
