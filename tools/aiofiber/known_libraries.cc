// SPDX-License-Identifier: Apache-2.0
//
// The tables. Each line needs a reason that was found in the library's source or in a run.
#include "known_libraries.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "elf_module.h"

namespace aiofiber::tool {
namespace {

struct Harmless {
  const char* file;
  const char* function;  // empty: every function that reads from a FILE
  const char* why;
};
constexpr Harmless kHarmless[] = {
    {"libpq.so", "", "reads its service and password files"},
    {"libpq.so", "sigwait", "takes a SIGPIPE that it has seen to be there"},
    {"libkrb5.so", "", "reads its configuration and key tables"},
    {"libcrypto.so", "", "reads its configuration, and what FILE a program gives it"},
    {"libcurl.so", "", "reads .netrc and cookies; uploads from what FILE a program gives it"},
    {"libcurl-gnutls.so", "", "reads .netrc and cookies; uploads from what FILE a program gives it"},
    {"libgmp.so", "", "reads what FILE a program gives it"},
    {"libbz2.so", "", "reads what file or FILE a program gives it"},
    {"libstdc++.so", "", "reads for std::cin, and for streams of a FILE that a program gives it"},
    {"libstdc++.so", "syscall(futex)", "for std::future, which is listed where it is used"},
    {"libabsl_raw_logging_internal.so", "syscall(write)", "writes what it logs to stderr"},
};

constexpr KnownUse kGrpc = {
    "gRPC",
    "a stub's blocking call suspends the task, but gRPC keeps thread_local state meanwhile, which a second "
    "call of the thread spoils (a crash): one call of a thread at a time, under a lock; others by "
    "to_thread(), or its callback interface"};
constexpr KnownUse kAsio = {
    "Asio's run()",
    "suspends the task, but Asio keeps a thread_local list of what runs on the thread, which a second task "
    "in run() spoils (a crash): no more than one task of a thread, others by to_thread(); and it takes no "
    "notice of a cancellation: stop() it"};

constexpr OwnLibrary kOwnLibraries[] = {
    {"libev.so", "ev_"},
    {"liburing.so", "io_uring_"},
    {"libdw.so", "", true},
    {"libelf.so", ""},
    // What abseil's strings consist of, which earlier releases of aiofiber linked.
    {"libabsl_str", ""},
    {"libabsl_base.so", ""},
    {"libabsl_int128.so", ""},
    {"libabsl_log_severity.so", ""},
    {"libabsl_raw_logging_internal.so", ""},
    {"libabsl_spinlock_wait.so", ""},
    {"libabsl_throw_delegate.so", ""},
};

// Functions that our code calls in every program, besides the hooked names.
constexpr const char* kCalledByAiofiber[] = {"fgetc", "fgets",   "fgetwc", "fgetws",
                                             "fread", "syscall", "dlopen"};

}  // namespace

const char* why_it_does_not_block(const ElfModule& module, const std::string& function, bool reads_files) {
  const std::string library = module.name();
  for (const Harmless& line : kHarmless) {
    if (!library.starts_with(line.file)) continue;
    if (function == line.function || (reads_files && std::string_view(line.function).empty()))
      return line.why;
  }
  return nullptr;
}

std::vector<KnownUse> known_uses(const ElfModule& module) {
  std::vector<KnownUse> uses;
  if (module.has_asio) uses.push_back(kAsio);
  if (module.has_grpc) uses.push_back(kGrpc);
  return uses;
}

const OwnLibrary* find_own_library(const std::string& library) {
  const auto found = std::find_if(std::begin(kOwnLibraries), std::end(kOwnLibraries),
                                  [&](const OwnLibrary& own) { return library.starts_with(own.name); });
  return found == std::end(kOwnLibraries) ? nullptr : found;
}

bool is_called_by_aiofiber(const std::string& function) {
  return std::find(std::begin(kCalledByAiofiber), std::end(kCalledByAiofiber), function) !=
         std::end(kCalledByAiofiber);
}

}  // namespace aiofiber::tool
