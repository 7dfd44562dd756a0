// SPDX-License-Identifier: Apache-2.0
//
// The last close of each number and who has opened it since, in a table of fixed size. Numbers that share a
// place overwrite each other's note, and then nothing is reported of the older one.
#include "aiofiber/runtime/inspect/descriptor_use.h"

#include <absl/strings/str_cat.h>
#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <mutex>
#include <span>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "aiofiber/runtime/inspect/task_dump.h"
#include "aiofiber/runtime/inspect/traceback.h"

namespace aiofiber::runtime::descriptor_use {

namespace detail {
constinit std::atomic<std::uint32_t> wanted{0};
}

namespace {

constexpr std::size_t kFrames = 32;  // some of them are the hooks' own
constexpr std::size_t kPlaces = 256;
constexpr std::size_t kMostReports = 10'000;
constexpr std::size_t kMostWaitersShown = 3;
constexpr std::size_t kFramesOfAPlace = 3;

// Who did something, and where.
struct Place {
  std::uint64_t task = 0;  // 0: code that is no task
  char name[sizeof aiofiber_record::name + 16] = {};
  std::size_t count = 0;
  std::uintptr_t frames[kFrames] = {};  // newest first

  // Inlined, so that the list begins with the caller's caller.
  AIOFIBER_ALWAYS_INLINE void set() {
    const Fiber* const fiber = current_fiber_or_step();
    task = fiber != nullptr ? fiber->id : 0;
    const std::string text = fiber != nullptr ? task_name(*fiber) : std::string();
    const std::size_t length = std::min(text.size(), sizeof name - 1);
    std::memcpy(name, text.data(), length);
    name[length] = '\0';
    count = list_current_calls(frames);
  }
  std::span<const std::uintptr_t> calls() const noexcept { return {frames, count}; }
  std::string who() const {
    return task != 0 ? absl::StrCat("task '", name, "'") : std::string("code outside of tasks");
  }
};

struct Note {
  bool is_in_use = false;  // all zeros in a program's file: no bytes there
  int fd = 0;
  std::uint32_t closes = 0;  // of the number, with this one
  bool is_open_again = false;
  Place closed;
  Place opened;

  bool is_for(int number) const noexcept { return is_in_use && fd == number; }
};
// A handler may close descriptors, too: it takes the mutex only if it is free, and else notes nothing.
constinit std::mutex mutex;
constinit Note notes[kPlaces];

constinit std::atomic<Report> current_report{nullptr};

Note& note_of(int fd) noexcept { return notes[static_cast<std::size_t>(fd) % kPlaces]; }

Recent::Use* find(Recent& recent, int fd) noexcept {
  const auto found =
      std::find_if(recent.uses.begin(), recent.uses.end(), [fd](const auto& use) { return use.fd == fd; });
  return found != recent.uses.end() ? &*found : nullptr;
}

void remember(Recent& recent, int fd, std::uint32_t closes) noexcept {
  Recent::Use* use = find(recent, fd);
  if (use == nullptr) {
    use = &recent.uses[recent.oldest];
    recent.oldest = (recent.oldest + 1) % recent.uses.size();
  }
  *use = {fd, closes};
}

// Whether this is the first report of this place of the program: the file and line of the newest calls, as in
// held_locks.cc. A stack that was seen before is recognized by its addresses, which is fast.
bool is_news(std::span<const std::uintptr_t> calls) {
  static auto& seen = *new std::unordered_set<std::uint64_t>;
  static constinit std::mutex guard;
  std::uint64_t stack = 1;
  for (const std::uintptr_t address : calls) stack = (stack ^ address) * 0x100000001b3;
  const std::lock_guard lock(guard);
  if (seen.size() >= kMostReports || !seen.insert(stack).second) return false;
  const auto frames = program_frames(calls);
  std::string place;
  for (std::size_t i = frames.size() - std::min(frames.size(), kFramesOfAPlace); i < frames.size(); ++i)
    absl::StrAppend(&place, frames[i].function, frames[i].file, frames[i].line, "\n");
  return seen.insert(std::hash<std::string>()(place)).second;
}

void send(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  if (const Report report = current_report.load(std::memory_order_relaxed)) report(text);
}

std::string stack_text(std::span<const std::uintptr_t> calls) { return format_frames(program_frames(calls)); }

std::string capitalized(std::string text) {
  text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

// Who waits for the descriptor, apart from the current task.
std::vector<std::uint64_t> waiters_of(int fd) {
  std::vector<std::uint64_t> ids;
  Scheduler* const scheduler = Scheduler::current();
  if (scheduler == nullptr) return ids;
  const Fiber* const self = current_fiber();
  scheduler->reactor().for_each_waiter(fd, [&](const FdWaiter& waiter) {
    if (waiter.waiting == nullptr || waiter.waiting == self) return;
    if (std::find(ids.begin(), ids.end(), waiter.waiting->id) == ids.end()) ids.push_back(waiter.waiting->id);
  });
  return ids;
}

void report_waiters(int fd, const std::vector<std::uint64_t>& ids, const Place& here) {
  const auto tasks = snapshot_tasks();
  const TaskIndex index(tasks);
  std::string names, stacks;
  std::size_t shown = 0;
  for (const std::uint64_t id : ids) {
    const TaskSnapshot* const task = index.find(id);
    if (task == nullptr || shown == kMostWaitersShown) continue;
    const std::string who = absl::StrCat("ask '", task_name(task->record), "'");
    absl::StrAppend(&names, shown++ > 0 ? ", t" : "t", who);
    absl::StrAppend(&stacks, "T", who, " waits for it here:\n",
                    format_frames(fiber_frames(task->stack, task->record.entry)));
  }
  if (shown < ids.size()) absl::StrAppend(&names, " and ", ids.size() - shown, " more");
  send(absl::StrCat(capitalized(here.who()), " closes descriptor ", fd, ", for which ", names,
                    ids.size() == 1 ? " waits" : " wait",
                    ". That call fails with EBADF. It closes it here:\n", stack_text(here.calls()), stacks));
}

void report_reuse(int fd, const Note& note, const Place& here) {
  send(absl::StrCat(capitalized(here.who()), " uses descriptor ", fd,
                    ", which is another one than when it used it last: ", note.closed.who(),
                    " has closed that one, and ", note.opened.who(),
                    " has opened another with the same number. (Unless it was handed to the task since, the "
                    "task works on a "
                    "file that is not its own.) It uses it here:\n",
                    stack_text(here.calls()), capitalized(note.closed.who()),
                    " closed the earlier one here:\n", stack_text(note.closed.calls()),
                    capitalized(note.opened.who()), " opened this one here:\n",
                    stack_text(note.opened.calls())));
}

}  // namespace

void start(Report report) noexcept {
  current_report.store(report, std::memory_order_relaxed);
  if (detail::wanted.fetch_add(1, std::memory_order_relaxed) != 0) return;
  const std::lock_guard lock(mutex);
  for (Note& note : notes) note.is_in_use = false;  // closes of meanwhile were not noted
}

void stop() noexcept { detail::wanted.fetch_sub(1, std::memory_order_relaxed); }

void note_closing(int fd, Recent* recent) noexcept {
  if (fd < 0) return;
  const HooksOff hooks_off;
  try {
    if (recent != nullptr) {
      if (Recent::Use* own = find(*recent, fd)) *own = {};
    }
    Place here;
    here.set();
    {
      const std::unique_lock lock(mutex, std::try_to_lock);
      if (!lock) return;
      Note& note = note_of(fd);
      note.is_in_use = true;
      note.fd = fd;
      note.closes = Reactor::close_count(fd) + 1;
      note.is_open_again = false;
      note.closed = here;
    }
    const std::vector<std::uint64_t> ids = waiters_of(fd);
    if (!ids.empty() && is_news(here.calls())) report_waiters(fd, ids, here);
  } catch (...) {
    // A report must not change what the program does.
  }
}

void note_opened(int fd, Recent* recent) noexcept {
  if (fd < 0) return;
  const HooksOff hooks_off;
  try {
    const std::uint32_t closes = Reactor::close_count(fd);
    if (recent != nullptr) remember(*recent, fd, closes);
    const std::unique_lock lock(mutex, std::try_to_lock);
    if (!lock) return;
    Note& note = note_of(fd);
    if (!note.is_for(fd)) return;
    note.closes = closes;  // dup2() to a closed number counts as a close, too
    note.opened.set();
    note.is_open_again = true;
  } catch (...) {
  }
}

void note_use(int fd, Recent& recent) noexcept {
  if (fd < 0) return;
  const std::uint32_t closes = Reactor::close_count(fd);
  const Recent::Use* const before = find(recent, fd);
  const bool is_same = before != nullptr && before->closes == closes;
  if (is_same) return;
  const bool was_used = before != nullptr;
  remember(recent, fd, closes);
  if (!was_used) return;
  const HooksOff hooks_off;
  try {
    Note note;
    {
      const std::unique_lock lock(mutex, std::try_to_lock);
      if (!lock) return;
      note = note_of(fd);
    }
    Place here;
    here.set();
    const bool by_others = note.closed.task != here.task && note.opened.task != here.task;
    if (!note.is_for(fd) || note.closes != closes || !note.is_open_again || !by_others) return;
    if (::fcntl(fd, F_GETFD) < 0) return;  // closed again without a hook: the use fails
    if (is_news(here.calls())) report_reuse(fd, note, here);
  } catch (...) {
  }
}

}  // namespace aiofiber::runtime::descriptor_use
