// SPDX-License-Identifier: Apache-2.0
//
// demo_fetch: many concurrent fetches on one thread, through blocking code that does not know aiofiber.
//
// legacy::fetch() is plain POSIX code (legacy_http.cc). A few hundred tasks call it here. The hooks turn each
// of its blocking calls into a suspension of the task. Every body is compared with the file on disk.
// wait_for() gives up one URL that never answers. Half-way the stacks of three tasks are printed.
// Exit code 0: every body was right and the timeout came.
#include <unistd.h>

#include <aiofiber/asyncio.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "file_list.h"
#include "legacy_http.h"
#include "process_status.h"

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::size_t kLargestFile = 1024 * 1024;
constexpr auto kPatience = 2s;

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Options {
  std::string server;
  std::string never;  // the server of /__never; by default the same one
  fs::path root = "/usr/share";
  std::size_t files = 1000;
  std::size_t tasks = 200;
  bool no_delay = false;
};

std::size_t parse_count(std::string_view option, std::string_view text) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number == 0 || number > 1'000'000) {
    throw UsageError(std::string(option) + " wants a number from 1 to 1000000");
  }
  return number;
}

Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--no-delay") {
      options.no_delay = true;
      continue;
    }
    if (name != "--server" && name != "--never" && name != "--root" && name != "--files" &&
        name != "--tasks") {
      throw UsageError("unknown option '" + std::string(name) + "'");
    }
    if (++i == argc) throw UsageError(std::string(name) + " wants a value");
    if (name == "--server") options.server = argv[i];
    if (name == "--never") options.never = argv[i];
    if (name == "--root") options.root = argv[i];
    if (name == "--files") options.files = parse_count(name, argv[i]);
    if (name == "--tasks") options.tasks = parse_count(name, argv[i]);
  }
  if (options.server.empty()) throw UsageError("--server HOST:PORT is missing");
  if (options.never.empty()) options.never = options.server;
  std::error_code error;
  options.root = fs::canonical(options.root, error);
  if (error) throw std::runtime_error("cannot read --root: " + error.message());
  return options;
}

// ---- progress: one line that is overwritten on a terminal, otherwise a line for each tenth

class Progress {
 public:
  explicit Progress(std::size_t total) : total_(total), terminal_(::isatty(STDOUT_FILENO) == 1) {}

  void show(std::size_t done, std::size_t in_flight) {
    if (terminal_) {
      std::printf("\r  %zu of %zu fetched, %zu requests under way ", done, total_, in_flight);
      open_line_ = true;
    } else if (done * 10 / total_ > tenths_shown_) {
      tenths_shown_ = done * 10 / total_;
      std::printf("  %zu %%: %zu of %zu fetched, %zu requests under way\n", tenths_shown_ * 10, done, total_,
                  in_flight);
    }
    std::fflush(stdout);
  }
  // Before anything else is printed.
  void end_line() {
    if (open_line_) std::printf("\n");
    std::fflush(stdout);
    open_line_ = false;
  }

 private:
  std::size_t total_;
  bool terminal_;
  bool open_line_ = false;
  std::size_t tenths_shown_ = 0;
};

// ---- the run

enum class Timeout { kPending, kCame, kAnswered, kFailed };

class Run {
 public:
  explicit Run(const Options& options)
      : options_(options),
        files_(demo::pick_files(options.root, options.files, kLargestFile)),
        progress_(files_.size()) {}

  // In the main task: the whole run, from the first request to the table.
  int main() {
    warm_up();
    const long resident_before = demo::resident_kib();
    const Clock::time_point start = Clock::now();
    asyncio::Task<> never =
        asyncio::create_task({.name = "never"}, [this] { fetch_the_url_that_never_answers(); });
    const std::size_t worker_count = std::min(options_.tasks, files_.size());
    for (std::size_t i = 0; i < worker_count; ++i) {
      workers_.push_back(
          asyncio::create_task({.name = "fetch-" + std::to_string(i)}, [this, i] { work(i); }));
    }
    waiting_now_.assign(worker_count, false);
    measure_memory(resident_before);
    asyncio::await(asyncio::gather(workers_));
    wall_time_ = Clock::now() - start;
    progress_.end_line();
    asyncio::await(never);
    threads_ = std::max(threads_, demo::process_status("Threads"));
    print_table();
    return right_ == files_.size() && timeout_ == Timeout::kCame ? 0 : 1;
  }

 private:
  // The first request pays for the set-up of the process (the heap, locale, name service); it does not count.
  void warm_up() { fetch_and_compare(files_.front()); }

  // Fetches a file through the legacy code and compares it with the disk. Throws legacy::HttpError.
  bool fetch_and_compare(const fs::path& file) {
    const legacy::Response response =
        legacy::fetch("http://" + options_.server + demo::url_path(options_.root, file));
    bytes_ += response.body.size();
    return response.status == 200 && response.body == demo::read_file(file);
  }

  void work(std::size_t worker) {
    while (next_ < files_.size()) {
      const fs::path& file = files_[next_++];
      const Clock::time_point start = Clock::now();
      set_waiting(worker, true);
      try {
        if (fetch_and_compare(file)) {
          ++right_;
        } else {
          report_wrong(file, "the body differs from the file");
        }
      } catch (const std::exception& error) {
        report_wrong(file, error.what());
      }
      set_waiting(worker, false);
      one_after_the_other_ += Clock::now() - start;
      ++done_;
      after_each_file(worker);
    }
  }

  void set_waiting(std::size_t worker, bool waiting) {
    waiting_now_[worker] = waiting;
    if (waiting) {
      ++in_flight_;
    } else {
      --in_flight_;
    }
  }

  void report_wrong(const fs::path& file, const char* reason) {
    if (++wrong_ > 5) return;  // the table has the total
    progress_.end_line();
    std::fprintf(stderr, "  wrong: %s: %s\n", file.c_str(), reason);
  }

  void after_each_file(std::size_t worker) {
    if (done_ % 16 == 0) threads_ = std::max(threads_, demo::process_status("Threads"));
    progress_.show(done_, in_flight_);
    if (!stacks_printed_ && done_ * 2 >= files_.size()) print_three_stacks(worker);
  }

  // Prints what three of the other tasks do now: suspended, deep in the legacy code.
  void print_three_stacks(std::size_t self) {
    stacks_printed_ = true;
    progress_.end_line();
    std::printf("\nHalf-way; three of the %zu tasks, as they stand:\n", workers_.size());
    std::fflush(stdout);
    int printed = 0;
    for (std::size_t i = 0; i < workers_.size() && printed < 3; ++i) {
      if (i == self || !waiting_now_[i]) continue;
      workers_[i].print_stack(std::nullopt, &std::cout);
      ++printed;
    }
    std::cout << std::endl;
  }

  // Memory per suspended task: the growth of the resident set from just before the tasks were created to the
  // moment when as many as possible wait for a response, divided by their number. This counts touched pages
  // of stacks, the tasks' records, sockets' user-side buffers and the heap that the requests use.
  void measure_memory(long resident_before) {
    const Clock::time_point give_up = Clock::now() + 60ms;
    while (in_flight_ < workers_.size() && done_ == 0 && Clock::now() < give_up)
      asyncio::await(asyncio::sleep(2ms));
    asyncio::await(asyncio::sleep(20ms));  // the last ones are still on their way from connect() to recv()
    suspended_ = in_flight_;
    if (suspended_ > 0)
      bytes_per_task_ = (demo::resident_kib() - resident_before) * 1024 / static_cast<long>(suspended_);
  }

  void fetch_the_url_that_never_answers() {
    const std::string url = "http://" + options_.never + "/__never";
    const Clock::time_point start = Clock::now();
    try {
      const legacy::Response response =
          asyncio::await(asyncio::wait_for([&url] { return legacy::fetch(url); }, kPatience));
      timeout_ = Timeout::kAnswered;
      timeout_text_ = "answered with status " + std::to_string(response.status) + ", which it never should";
    } catch (const asyncio::TimeoutError&) {
      timeout_ = Timeout::kCame;
      char text[64];
      std::snprintf(text, sizeof text, "TimeoutError after %.2f s, as it should",
                    Seconds(Clock::now() - start).count());
      timeout_text_ = text;
    } catch (const std::exception& error) {
      timeout_ = Timeout::kFailed;
      timeout_text_ = std::string("failed otherwise: ") + error.what();
    }
  }

  void print_table() const {
    const double wall = Seconds(wall_time_).count();
    const double serial = Seconds(one_after_the_other_).count();
    std::printf("\n  requests                 %zu by %zu tasks\n", done_, workers_.size());
    std::printf("  bodies right / wrong     %zu / %zu\n", right_, wrong_);
    std::printf("  bytes                    %.1f MB\n", static_cast<double>(bytes_) / 1e6);
    std::printf("  time                     %.2f s\n", wall);
    std::printf("  one after the other      %.1f s (sum of the times of the requests)\n", serial);
    std::printf("  speed-up                 %.0f times%s\n", serial / wall,
                options_.no_delay ? " (the server answers at once, so there is little to wait for)" : "");
    std::printf("  threads                  %ld at most\n", threads_);
    std::printf("  peak memory              %.1f MB\n",
                static_cast<double>(demo::process_status("VmHWM")) / 1024);
    if (suspended_ > 0) {
      std::printf(
          "  memory of a task         %.1f KiB (growth of the resident set, smaps_rollup, with %zu tasks "
          "suspended in a request, / %zu)\n",
          static_cast<double>(bytes_per_task_) / 1024, suspended_, suspended_);
    } else {
      std::printf("  memory of a task         not measured: no task was suspended\n");
    }
    std::printf("  the URL without answer   %s\n", timeout_text_.c_str());
    std::fflush(stdout);
  }

  const Options& options_;
  const std::vector<fs::path> files_;
  Progress progress_;
  std::vector<asyncio::Task<>> workers_;
  std::vector<bool> waiting_now_;  // by worker: in a request
  std::size_t next_ = 0;           // the first file that no task has taken
  std::size_t done_ = 0;
  std::size_t right_ = 0;
  std::size_t wrong_ = 0;
  std::size_t in_flight_ = 0;
  std::uint64_t bytes_ = 0;
  Clock::duration one_after_the_other_{};
  Clock::duration wall_time_{};
  long threads_ = 1;
  std::size_t suspended_ = 0;
  long bytes_per_task_ = 0;
  bool stacks_printed_ = false;
  Timeout timeout_ = Timeout::kPending;
  std::string timeout_text_ = "did not come to an end";
};

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse_options(argc, argv);
    Run run(options);
    std::printf("fetching %zu files of %s from %s with %zu tasks on one thread\n", options.files,
                options.root.c_str(), options.server.c_str(), options.tasks);
    return asyncio::run([&run] { return run.main(); });
  } catch (const UsageError& error) {
    std::fprintf(stderr,
                 "demo_fetch: %s\n"
                 "usage: demo_fetch --server HOST:PORT [--root DIR] [--files N] [--tasks N] [--never "
                 "HOST:PORT] [--no-delay]\n",
                 error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "demo_fetch: %s\n", error.what());
    return 1;
  }
}
