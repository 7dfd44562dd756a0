// SPDX-License-Identifier: Apache-2.0
//
// What happens at a switch: the pages are opened, the step that ends is compared and noted, reports are made,
// and the pages are closed again as the next task needs it.
//
// How closely a page is looked at depends on how much that has cost so far. At first each access is noticed;
// later each write; at last the page is only compared, until another task changes what the running one had
// written there.
#include "aiofiber/runtime/shared_state/shared_state.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/offload.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "aiofiber/runtime/engine/switch_watch.h"
#include "aiofiber/runtime/engine/task_values.h"
#include "aiofiber/runtime/inspect/held_locks.h"
#include "aiofiber/runtime/inspect/symbolize.h"
#include "aiofiber/runtime/inspect/traceback.h"
#include "shared_state/accesses.h"
#include "shared_state/finding_text.h"
#include "shared_state/heap_place.h"
#include "shared_state/history.h"
#include "shared_state/page_guard.h"
#include "shared_state/raw_bytes.h"
#include "shared_state/streams.h"
#include "shared_state/watched_memory.h"

// The program links aiofiber::instrumented.
extern "C" __attribute__((weak)) const char aiofiber_instrumented;

namespace aiofiber::runtime::shared_state {

namespace {

// Steps in which a page was used, until it is looked at less closely: each access, then each write.
constexpr std::uint32_t kStepsWithAccesses = 50;
constexpr std::uint32_t kStepsWithWrites = 150;
// How many are noted in one step.
constexpr std::uint32_t kAccessesOfAStep = 64;
constexpr std::uint32_t kWritesOfAStep = 8;
// The effort of the whole run. An access or call costs 10 to 30 us, so this is half of the time that passes.
constexpr std::uint64_t kEffortAtFirst = 20'000;
constexpr Nanoseconds kTimeOfAnEffort = 60'000;

constexpr std::size_t kReportsOfAVariable = 3;
constexpr std::size_t kMiB = std::size_t{1} << 20;

void to_stderr(const std::string& text) noexcept { std::fprintf(stderr, "aiofiber: %s\n", text.c_str()); }

constinit std::atomic<std::size_t> report_count{0};

void lock_taken(const void* lock, const char* what) noexcept;

class Detector {
 public:
  explicit Detector(const Options& options)
      : report_(options.report != nullptr ? options.report : to_stderr),
        memory_bytes_max_(options.memory_bytes_max),
        arena_(options.memory_bytes_max),
        is_precise_(is_instrumented()),
        memory_(arena_, options.modules, options.ignore, is_precise_),
        history_(*new (needed(arena_.allocate(sizeof(History)))) History(arena_, memory_, is_precise_)),
        guard_(arena_, memory_, history_),
        accesses_(memory_, history_),
        streams_(options.ignore) {
    for (const TaskVariable& own : task_variables())
      memory_.exclude(reinterpret_cast<std::uintptr_t>(own.address), own.bytes);
    for (Page& page : memory_.pages()) {
      if (page.ignored) continue;
      copy_bytes(page.shadow, page.memory, kPageBytes);
      watched_.push_back(&page);
    }
    streams_.end_step({}, nullptr, true, {});  // the text that lies in a stream now is no task's
  }
  Detector(const Detector&) = delete;
  Detector& operator=(const Detector&) = delete;

  const char* install() noexcept {
    const char* missing = guard_.install();
    if (is_precise_) {
      missing = nullptr;  // only what the kernel reads and writes is not seen
      accesses_.install();
    }
    if (missing == nullptr) held_locks::start_noting(lock_taken);
    return missing;
  }
  void uninstall() noexcept { held_locks::stop(); }
  // Whoever links aiofiber::instrumented wants the precise search.
  void tell_if_not_compiled() const noexcept {
    if (is_precise_ || &aiofiber_instrumented == nullptr) return;
    std::fprintf(
        stderr,
        "aiofiber: shared state: the program links aiofiber::instrumented, but nothing of it was compiled "
        "with -fsanitize=thread, so only static data is searched: compile it with the options of that "
        "target, or of pkg-config --cflags aiofiber-instrumented\n");
  }

  void on_switch(const aiofiber_record& from, const aiofiber_record& to) noexcept {
    pause();
    end_step(from);
    make_reports();
    tell_if_full();
    begin_step(from, to);
  }
  // The running task gives work to a pool: from now on another thread may touch the program's data.
  void work_begins() noexcept {
    streams_are_known_ = was_alone_ = false;
    if (is_precise_) return;
    guard_.pause();
    guard_.open();
  }
  // What has been found in the running step.
  void finish() noexcept {
    pause();
    guard_.open();
    make_reports();
  }
  void leave_child() noexcept {
    accesses_.stop_noting();
    guard_.leave_child();
  }
  void exclude(const void* begin, std::size_t bytes) noexcept {
    memory_.exclude(reinterpret_cast<std::uintptr_t>(begin), bytes);
  }
  // A lock is changed by all who take it, and that is its purpose.
  void exclude_lock(const void* lock, std::size_t bytes) noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(lock);
    const Variable* const variable = memory_.variable_at(address);
    if (variable != nullptr) bytes = std::min(bytes, variable->address + variable->size - address);
    memory_.exclude(address, bytes);
  }

 private:
  void pause() noexcept {
    if (is_precise_) accesses_.stop_noting();
    guard_.pause();
  }

  static void* needed(void* memory) {
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
  }

  void end_step(const aiofiber_record& from) noexcept {
    if (std::exchange(runs_unknown_, false)) forget_changes();
    if (running_ == nullptr) return;
    Task& task = *running_;
    std::array<std::uintptr_t, Calls::kMost> addresses;
    const std::size_t count = list_current_calls(addresses);
    const Calls* const here = history_.calls({addresses.data(), count});
    note_locks(task);
    // Of an instrumented program each access was seen, but for those of libraries.
    const bool only_seen = is_precise_ && !(was_alone_ && is_alone());
    history_.end_step_of_used(task, here, only_seen);
    for (Page* const page : watched_) {
      if (page->ignored || !page->dirty) continue;
      history_.end_step(task, *page, here, only_seen);
      page->dirty = false;
    }
    const bool is_suspended = from.id == task.record.id;
    const bool ends = is_suspended && from.id != 0 && static_cast<const Fiber&>(from).finished;
    const bool is_offloaded =
        is_suspended && from.state == AIOFIBER_WAITING && from.wait_kind == AIOFIBER_WAIT_OFFLOAD;
    note_streams(is_suspended ? from : task.record, here, !ends, is_offloaded);
    if (!is_suspended) return;  // it has run another task at once, and goes on after it
    if (ends) {
      history_.forget(task);
      running_ = nullptr;
      return;
    }
    task.record = from;
    task.suspended = here;
    task.offloaded = is_offloaded;
    if (task.offloaded) ++offloaded_;
  }

  // There was no memory to note who ran. Its changes must not look like those of the next task.
  void forget_changes() noexcept {
    for (Page* const page : watched_) {
      if (!page->ignored && !equal_bytes(page->memory, page->shadow, kPageBytes))
        history_.forget_uses(*page, 0, kPageBytes);
    }
  }

  // What is written while other threads work may be theirs. The next look after that only takes note of it.
  void note_streams(const aiofiber_record& task, const Calls* here, bool goes_on,
                    bool is_offloaded) noexcept {
    if (!is_alone() || is_offloaded) {
      streams_are_known_ = false;
    } else {
      streams_.end_step(std::exchange(streams_are_known_, true) ? task : aiofiber_record{}, here, goes_on,
                        guard_.outputs());
    }
  }

  void begin_step(const aiofiber_record& from, const aiofiber_record& to) noexcept {
    running_ = history_.task(to);
    runs_unknown_ = running_ == nullptr;
    if (runs_unknown_) return guard_.open();
    running_->record = to;
    if (std::exchange(running_->offloaded, false)) --offloaded_;
    running_->locks = {};
    note_locks(*running_);
    if (from.id == 0) look_for_threads();
    if (const Scheduler* const scheduler = Scheduler::current()) {
      if (began_ == 0) began_ = scheduler->last_poll();
      const auto passed = static_cast<std::uint64_t>((scheduler->last_poll() - began_) / kTimeOfAnEffort);
      may_look_ = guard_.effort() < kEffortAtFirst + passed;
    }
    was_alone_ = is_alone();
    const bool protects = was_alone_ && !is_precise_;
    for (Page* const page : watched_) {
      if (page->ignored) continue;
      page->wanted = !protects ? Access::kAll : to.id != 0 ? wanted(*page) : unless_used(*page);
      page->dirty = page->wanted == Access::kAll;
    }
    guard_.watch(*running_, is_precise_);
    if (is_precise_) accesses_.note_for(*running_);
  }

  // The loop itself and its callbacks: what is closed stays closed, because each change is a system call. Who
  // touches it opens it for the step.
  static Access unless_used(Page& page) noexcept {
    page.budget = 0;
    return page.now;
  }

  Access wanted(Page& page) noexcept {
    if (std::exchange(page.touched, false)) ++page.steps;
    if (!may_look_) return Access::kAll;
    page.budget = kAccessesOfAStep;
    if (page.steps < kStepsWithAccesses) return Access::kNothing;
    for (Claim* claim = page.claims; claim != nullptr; claim = claim->next_of_page) {
      if (claim->task != running_ || !claim->is_stale) continue;
      claim->is_stale = claim->stale_written.any() || claim->stale_read.any();
      if (claim->is_stale) return Access::kNothing;
    }
    page.budget = kWritesOfAStep;
    return page.steps < kStepsWithWrites ? Access::kRead : Access::kAll;
  }

  void note_locks(Task& task) noexcept {
    const Fiber* const fiber = current_fiber();
    if (fiber == nullptr || fiber->id != task.record.id) return;
    HeldLocks held;
    held.count = static_cast<std::uint8_t>(held_locks::list_held(*fiber, held.locks));
    task.locks.add(held);
  }

  // Whether the process has threads that may touch the program's data: then nothing is protected, because a
  // thread that blocks all signals would die of a fault, and its system calls would fail.
  // Asked whenever the loop itself has run.
  void look_for_threads() noexcept {
    struct stat status {};
    const HooksOff hooks_off;
    if (::stat("/proc/self/task", &status) != 0) {
      others_run_ = true;
      return;
    }
    // "." and ".." are links, too; one thread is this one.
    const auto others = status.st_nlink - 3;
    const bool ran_before = std::exchange(others_run_, others > OffloadPool::threads_alive());
    // A thread of a pool that ends is counted no longer, but is still there for a moment. So it is said only
    // if two looks in a row have seen another thread.
    if (!is_precise_ && others_run_ && ran_before && !std::exchange(told_of_others_, true)) {
      std::fprintf(
          stderr,
          "aiofiber: shared state: the program has other threads; while they run, nothing is found\n");
    }
  }

  // Whether only this thread touches the program's data: no thread of the program, no pool that has work, and
  // not the kernel for a task that waits for io_uring.
  bool is_alone() const noexcept {
    if (others_run_ || offloaded_ > 0 || OffloadPool::works_in_flight() > 0) return false;
    // Another thread may have done the work for which a thread was created.
    const HooksOff hooks_off;
    OffloadPool::await_starts();
    return true;
  }

  void tell_if_full() noexcept {
    if (!arena_.is_full() || std::exchange(told_of_memory_, true)) return;
    const HooksOff hooks_off;
    std::fprintf(
        stderr,
        "aiofiber: shared state: what is noted has reached the limit of %zu MiB: where a task uses a page of "
        "memory for the first time from now on, nothing is found. Raise AIOFIBER_SHARED_STATE_MIB (or "
        "memory_bytes_max), or let the run use less memory or fewer tasks at once\n",
        memory_bytes_max_ / kMiB);
  }

  void make_reports() noexcept {
    if (history_.findings().empty() && streams_.findings().empty()) return;
    guard_.open();
    const HooksOff hooks_off;
    try {
      for (const Finding& finding : history_.findings()) {
        const Variable* const variable = memory_.variable_at(finding.address);
        const HeapPlace heap =
            variable == nullptr && is_precise_ ? heap_place(memory_, finding.address) : HeapPlace();
        const Variable* const named = heap.root != nullptr ? heap.root : variable;
        if (named == nullptr && is_precise_) continue;  // the program handed it from task to task
        if (!places_.insert(place_key(finding, named)).second) continue;
        if (named != nullptr && ++reports_of_[named->address] > kReportsOfAVariable) continue;
        report_count.fetch_add(1, std::memory_order_relaxed);
        report_(finding_text(finding, variable, heap));
      }
      for (const CutLine& finding : streams_.findings()) {
        report_count.fetch_add(1, std::memory_order_relaxed);
        report_(cut_line_text(finding));
      }
    } catch (const std::exception&) {
      // A report must not change what the program does.
    }
    history_.clear_findings();
    streams_.clear_findings();
  }

  Report report_;
  const std::size_t memory_bytes_max_;
  Arena arena_;
  const bool is_precise_;  // the program is instrumented: no page is protected
  WatchedMemory memory_;
  History& history_;
  PageGuard guard_;
  Accesses accesses_;
  Streams streams_;
  std::vector<Page*> watched_;  // of static data, but for what was ignored from the beginning
  Task* running_ = nullptr;
  std::size_t offloaded_ = 0;  // suspended tasks for which the kernel may work
  Nanoseconds began_ = 0;
  bool may_look_ = true;
  bool was_alone_ = true;  // at the beginning of the step, and no work was given to a pool since
  bool others_run_ = false, told_of_others_ = false;
  bool told_of_memory_ = false;
  bool runs_unknown_ = false;  // there was no memory for the task that runs
  bool streams_are_known_ = true;
  std::set<std::string> places_;
  std::map<std::uintptr_t, std::size_t> reports_of_;
};

// What is wanted, until a loop begins to be watched; then the detector of that loop.
struct Global {
  std::mutex mutex;
  Options options;
  std::atomic<bool> wanted{false};
};
Global& global() {
  static auto& instance = *new Global;
  return instance;
}
constinit std::atomic<Detector*> detector{nullptr};
constinit thread_local bool this_thread_is_watched __attribute__((tls_model("initial-exec"))) = false;

void lock_taken(const void* lock, const char* what) noexcept {
  if (!this_thread_is_watched) return;
  const std::size_t bytes =
      std::strcmp(what, "mutex") == 0 ? sizeof(::pthread_mutex_t) : sizeof(::pthread_rwlock_t);
  detector.load(std::memory_order_relaxed)->exclude_lock(lock, bytes);
}

void work_submitted() noexcept {
  if (this_thread_is_watched) detector.load(std::memory_order_relaxed)->work_begins();
}

void fork_child() noexcept {
  if (!std::exchange(this_thread_is_watched, false)) return;
  set_switch_function(nullptr);
  detector.load(std::memory_order_relaxed)->leave_child();
}
constinit ForkHandler detector_at_fork{ForkStep::kScheduler, {.child = fork_child}};

void begin() noexcept {
  Global& all = global();
  const std::lock_guard lock(all.mutex);
  if (!all.wanted.exchange(false)) return;
  const HooksOff hooks_off;
  const char* missing = AIOFIBER_TSAN        ? "ThreadSanitizer delays signals"
                        : !prepare_symbols() ? "libdw, which reads the names of variables, cannot be loaded"
                                             : nullptr;
  try {
    if (missing == nullptr) {
      auto made = std::make_unique<Detector>(all.options);
      missing = made->install();
      if (missing == nullptr) {
        made->tell_if_not_compiled();
        at_fork(detector_at_fork);
        OffloadPool::set_submit_function(work_submitted);
        static const int at_exit = std::atexit([] { stop(); });
        static_cast<void>(at_exit);
        detector.store(made.release());
        this_thread_is_watched = true;
        return;
      }
    }
  } catch (const std::exception& error) {
    missing =
        "there is not enough memory for a copy of the static data: raise AIOFIBER_SHARED_STATE_MIB (or "
        "memory_bytes_max), or name the modules to search";
  }
  set_switch_function(nullptr);
  std::fprintf(stderr, "aiofiber: shared state: it is not searched, because %s\n", missing);
}

void on_switch(const aiofiber_record& from, const aiofiber_record& to) noexcept {
  if (!this_thread_is_watched) {
    if (detector.load(std::memory_order_relaxed) != nullptr) return;  // another thread's
    begin();
    if (!this_thread_is_watched) return;
  }
  detector.load(std::memory_order_relaxed)->on_switch(from, to);
}

}  // namespace

void start(Options options) noexcept {
  Global& all = global();
  const std::lock_guard lock(all.mutex);
  if (detector.load() != nullptr || all.wanted.load()) return;
  all.options = std::move(options);
  all.wanted.store(true);
  set_switch_function(on_switch);
}

void stop() noexcept {
  Global& all = global();
  const std::lock_guard lock(all.mutex);
  all.wanted.store(false);
  if (detector.load() != nullptr && !this_thread_is_watched) return;
  set_switch_function(nullptr);
  OffloadPool::set_submit_function(nullptr);
  this_thread_is_watched = false;
  if (Detector* const ended = detector.exchange(nullptr)) {
    ended->finish();
    ended->uninstall();
    delete ended;
  }
}

void leave_out(const void* begin, std::size_t bytes) noexcept {
  if (this_thread_is_watched) detector.load(std::memory_order_relaxed)->exclude(begin, bytes);
}

std::size_t reports() noexcept { return report_count.load(std::memory_order_relaxed); }

namespace {

std::size_t memory_from_environment(std::size_t otherwise) noexcept {
  const char* const wish = ::secure_getenv("AIOFIBER_SHARED_STATE_MIB");
  if (wish == nullptr || *wish == '\0') return otherwise;
  std::size_t mib = 0;
  const char* const end = wish + std::strlen(wish);
  const auto [after, error] = std::from_chars(wish, end, mib);
  if (error == std::errc() && after == end && mib > 0 && mib <= SIZE_MAX / kMiB) return mib * kMiB;
  std::fprintf(
      stderr,
      "aiofiber: AIOFIBER_SHARED_STATE_MIB=%s is not understood: give a number of MiB. Now it is %zu\n", wish,
      otherwise / kMiB);
  return otherwise;
}

}  // namespace

void start_from_environment() noexcept {
  static const bool done = [] {
    const char* const wish = ::secure_getenv("AIOFIBER_SHARED_STATE");
    if (wish == nullptr || *wish == '\0' || std::strcmp(wish, "0") == 0) return true;
    Options options;
    options.memory_bytes_max = memory_from_environment(options.memory_bytes_max);
    if (std::strcmp(wish, "1") != 0) {
      for (const char* name = wish; *name != '\0';) {
        const std::size_t length = std::strcspn(name, ",");
        if (length > 0) options.ignore.emplace_back(name, length);
        name += length + (name[length] == ',');
      }
    }
    start(std::move(options));
    return true;
  }();
  static_cast<void>(done);
}

}  // namespace aiofiber::runtime::shared_state
