// SPDX-License-Identifier: Apache-2.0
//
// Counting what the process holds: from the registry, the loops, and /proc.
#include "aiofiber/books.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string_view>
#include <system_error>

#include "aiofiber/runtime/engine/stack.h"
#include "aiofiber/runtime/inspect/registry.h"

namespace aiofiber::testing {

namespace {

namespace fs = std::filesystem;

// The files that are mapped into the process: its program and libraries.
std::set<std::string> mapped_files() {
  std::set<std::string> files;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const std::size_t path = line.find('/');
    if (path != std::string::npos) files.insert(line.substr(path));
  }
  return files;
}

// Not those that are kept to read debug information: a traceback opens the program's file, once.
std::size_t open_descriptors() {
  const std::set<std::string> mapped = mapped_files();
  const std::string suffix = ".debug";
  std::size_t count = 0;
  for (const fs::directory_entry& descriptor : fs::directory_iterator("/proc/self/fd")) {
    std::error_code closed_since;  // as the iterator's own one will be
    const std::string file = fs::read_symlink(descriptor.path(), closed_since).native();
    const bool is_debug_file = file.size() > suffix.size() && file[0] == '/' &&
                               file.compare(file.size() - suffix.size(), suffix.size(), suffix) == 0;
    if (!is_debug_file && mapped.count(file) == 0) ++count;
  }
  return count;
}

// Threads that the library keeps once they have been made, by their names: pools (offload.cc), the watchdog,
// the writers of dumps and timelines.
bool is_kept(const std::string& name) {
  constexpr std::string_view kKept[] = {"asyncio_", "aiofiber_"};
  return std::any_of(std::begin(kKept), std::end(kKept),
                     [&](std::string_view prefix) { return name.compare(0, prefix.size(), prefix) == 0; });
}

std::size_t threads_of_program() {
  std::size_t count = 0;
  for (const fs::directory_entry& thread : fs::directory_iterator("/proc/self/task")) {
    std::ifstream file(thread.path() / "comm");
    std::string name;
    // One that has ended since has no name.
    if (std::getline(file, name) && !is_kept(name)) ++count;
  }
  return count;
}

std::size_t fibers_alive() {
  std::size_t count = 0;
  runtime::RecordSlab::for_each([&count](const aiofiber_record& record) {
    if (__atomic_load_n(&record.state, __ATOMIC_RELAXED) != AIOFIBER_FREE) ++count;
  });
  return count;
}

}  // namespace

Books Books::now(EventLoop* loop) {
  Books books;
  books.fibers = fibers_alive();
  books.loops = detail::LoopCore::alive();
  books.descriptors = open_descriptors();
  books.threads = threads_of_program();
  books.stack_bytes = runtime::StackPool::reserved_bytes_in_process();
  if (loop != nullptr) {
    books.futures = loop->core().references();
    books.handles = loop->core().scheduler().ready_count();
    books.timers = loop->core().scheduler().timers().size();
  }
  return books;
}

std::string Books::added_since(const Books& before) const {
  std::string text;
  const auto add = [&text](std::size_t then, std::size_t now, const char* one, const char* several) {
    if (now <= then) return;
    absl::StrAppend(&text, text.empty() ? "" : ", ", now - then, " ", now - then == 1 ? one : several);
  };
  add(before.fibers, fibers, "fiber", "fibers");
  add(before.loops, loops, "loop (open, or referred to by a future or task)",
      "loops (open, or referred to by futures or tasks)");
  add(before.futures, futures, "future or task of the loop", "futures or tasks of the loop");
  add(before.handles, handles, "callback that is ready", "callbacks that are ready");
  add(before.timers, timers, "timer", "timers");
  add(before.descriptors, descriptors, "descriptor", "descriptors");
  add(before.threads, threads, "thread", "threads");
  add(before.stack_bytes, stack_bytes, "byte of stacks", "bytes of stacks");
  return text;
}

}  // namespace aiofiber::testing
