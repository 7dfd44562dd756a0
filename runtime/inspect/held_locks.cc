// SPDX-License-Identifier: Apache-2.0
//
// A table of fixed size with open addressing by the lock. A lock is within a few places of its hash, or it is
// not noted. Each task counts its own (locks_held of its record), so a task without locks never searches.
#include "aiofiber/runtime/inspect/held_locks.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <array>
#include <functional>
#include <mutex>
#include <span>
#include <unordered_set>
#include <vector>

#include "aiofiber/runtime/inspect/symbolize.h"
#include "aiofiber/runtime/inspect/task_dump.h"
#include "aiofiber/runtime/inspect/traceback.h"
#include "aiofiber/runtime/inspect/unwind.h"

namespace aiofiber::runtime::held_locks {

namespace detail {
constinit std::atomic<std::uint32_t> wanted{0};
}

namespace {

constexpr std::size_t kFrames = 24;  // some of them are the hooks' own
constexpr std::size_t kPlaces = 4096;
constexpr std::size_t kNeighbours = 16;
constexpr std::size_t kMostPlaces = 10'000;  // the limit of reports
constexpr std::size_t kFramesOfAPlace = 3;

struct Held {
  std::atomic<const void*> lock{nullptr};  // null: the place is free. Written before the rest
  std::atomic<std::uint64_t> task{0};      // id
  Fiber* fiber = nullptr;
  const char* what = nullptr;
  std::size_t frame_count = 0;
  std::uintptr_t frames[kFrames] = {};  // where it was taken, newest first
};
constinit Held table[kPlaces];
constinit std::atomic<bool> used{false};  // since the table was last empty; its memory is not touched before

constinit std::atomic<Report> current_report{nullptr};
constinit std::atomic<void (*)(const void*, const char*) noexcept> listener{nullptr};

template <class Visit>
Held* find_near(const void* lock, Visit is_it) noexcept {
  const auto hash = (reinterpret_cast<std::uintptr_t>(lock) >> 3) * std::uint64_t{0x9E3779B97F4A7C15};
  const std::size_t first = hash >> 52;
  static_assert(kPlaces == std::size_t{1} << (64 - 52));
  for (std::size_t i = 0; i < kNeighbours; ++i) {
    Held& held = table[(first + i) % kPlaces];
    if (is_it(held)) return &held;
  }
  return nullptr;
}

// The task's own note. If another task took the lock for it, as plain mutexes allow, that task's note.
Held* find_note(const void* lock, std::uint64_t task) noexcept {
  const auto is_lock = [&](const Held& held) { return held.lock.load(std::memory_order_relaxed) == lock; };
  Held* own = find_near(lock, [&](const Held& held) {
    return is_lock(held) && held.task.load(std::memory_order_relaxed) == task;
  });
  return own != nullptr ? own : find_near(lock, is_lock);
}

std::string lock_text(const Held& held) {
  const auto address = reinterpret_cast<std::uintptr_t>(held.lock.load(std::memory_order_relaxed));
  const std::string name = data_symbol(address);
  return absl::StrCat(held.what, name.empty() ? "" : absl::StrCat(" '", name, "'"), " at 0x",
                      absl::Hex(address));
}

std::string report_text(const Fiber& fiber, const std::vector<const Held*>& locks,
                        std::span<const std::uintptr_t> suspended) {
  const std::string waits = describe_wait(fiber, snapshot_tasks());
  std::string text = absl::StrCat(
      "Task '", task_name(fiber), "' is suspended ", waits.empty() ? "to let others run" : "in a wait for ",
      waits, ", and holds ", locks.size() == 1 ? "a lock" : absl::StrCat(locks.size(), " locks"),
      " meanwhile. Who wants it waits as long: a task parks, but a thread, or a callback of the loop, "
      "blocks.");
  for (const Held* held : locks) {
    absl::StrAppend(&text, "\nIt took ", lock_text(*held), " here:\n",
                    format_frames(program_frames({held->frames, held->frame_count})));
    text.pop_back();
  }
  absl::StrAppend(&text, "\nIt is suspended here:\n", format_frames(program_frames(suspended)));
  text.pop_back();
  return text;
}

class Seen {
 public:
  bool contains(std::uint64_t hash) {
    const std::lock_guard lock(mutex_);
    return hashes_.contains(hash);
  }
  bool insert(std::uint64_t hash) {
    const std::lock_guard lock(mutex_);
    return hashes_.size() < kMostPlaces && hashes_.insert(hash).second;
  }

 private:
  std::mutex mutex_;
  std::unordered_set<std::uint64_t> hashes_;
};

// The stacks that were already examined.
Seen& stacks() {
  static auto& seen = *new Seen;
  return seen;
}

// Whether this is the first suspension at this place of the program. A place is the file and line of the
// newest calls. Whole stacks differ with every path to it, and with every copy of a loop's body.
bool is_news(std::span<const std::uintptr_t> suspended) {
  static auto& places = *new Seen;
  const auto frames = program_frames(suspended);
  std::string place;
  for (std::size_t i = frames.size() - std::min(frames.size(), kFramesOfAPlace); i < frames.size(); ++i) {
    absl::StrAppend(&place, frames[i].function, frames[i].file, frames[i].line, "\n");
  }
  return places.insert(std::hash<std::string>()(place));
}

// Their owners are not known.
void forget_old_notes() noexcept {
  if (!used.exchange(false, std::memory_order_relaxed)) return;
  for (Held& held : table) held.lock.store(nullptr, std::memory_order_relaxed);
}

}  // namespace

void start(Report report) noexcept {
  current_report.store(report, std::memory_order_relaxed);
  if (detail::wanted.fetch_add(1, std::memory_order_relaxed) != 0) return;
  forget_old_notes();
}

void start_noting(void (*taken)(const void*, const char*) noexcept) noexcept {
  listener.store(taken, std::memory_order_relaxed);
  if (detail::wanted.fetch_add(1, std::memory_order_relaxed) != 0) return;
  forget_old_notes();
}

std::size_t list_held(const Fiber& fiber, std::span<const void*> out) noexcept {
  std::size_t count = 0;
  if (fiber.locks_held == 0) return count;
  for (const Held& held : table) {
    const void* const lock = held.lock.load(std::memory_order_relaxed);
    if (lock == nullptr || held.task.load(std::memory_order_acquire) != fiber.id) continue;
    if (count < out.size()) out[count++] = lock;
  }
  return count;
}

void stop() noexcept { detail::wanted.fetch_sub(1, std::memory_order_relaxed); }

void note_taken(const void* lock, const char* what) noexcept {
  Fiber* fiber = current_fiber();
  if (fiber == nullptr) return;
  if (const auto taken = listener.load(std::memory_order_relaxed)) taken(lock, what);
  // A free place, or one of a task that ended without releasing its lock.
  Held* place = find_near(lock, [&](Held& held) {
    const void* seen = held.lock.load(std::memory_order_relaxed);
    if (seen != nullptr) {
      const std::uint64_t task = held.task.load(std::memory_order_acquire);
      if (task == 0 || __atomic_load_n(&held.fiber->id, __ATOMIC_RELAXED) == task) return false;
    }
    return held.lock.compare_exchange_strong(seen, lock, std::memory_order_relaxed);
  });
  if (place == nullptr) return;
  used.store(true, std::memory_order_relaxed);
  place->fiber = fiber;
  place->what = what;
  place->frame_count = list_current_calls(place->frames);
  place->task.store(fiber->id, std::memory_order_release);
  ++fiber->locks_held;
}

void note_released(const void* lock) noexcept {
  const Fiber* fiber = current_fiber();
  Held* held = find_note(lock, fiber != nullptr ? fiber->id : 0);
  if (held == nullptr) return;
  Fiber& holder = *held->fiber;
  const bool is_here =
      fiber != nullptr && holder.id == held->task.load(std::memory_order_relaxed) && holder.tid == fiber->tid;
  held->task.store(0, std::memory_order_relaxed);
  held->lock.store(nullptr, std::memory_order_release);
  if (is_here && holder.locks_held > 0)
    --holder.locks_held;  // the task of another thread notices when it suspends
}

void report_suspension(Fiber& fiber) noexcept {
  if (!noting()) return;
  const HooksOff hooks_off;
  try {
    std::array<std::uintptr_t, kFrames> frames;
    const std::size_t count = list_current_calls(frames);
    const std::span<const std::uintptr_t> suspended(frames.data(), count);
    std::uint64_t hash = 1;
    for (const std::uintptr_t address : suspended) hash = (hash ^ address) * 0x100000001b3;
    if (stacks().contains(hash)) return;  // fast; the rest is slow
    std::vector<const Held*> locks;
    for (const Held& held : table) {
      if (held.lock.load(std::memory_order_relaxed) != nullptr &&
          held.task.load(std::memory_order_acquire) == fiber.id) {
        locks.push_back(&held);
      }
    }
    fiber.locks_held = static_cast<std::uint32_t>(locks.size());
    if (locks.empty() || !stacks().insert(hash) || !is_news(suspended)) return;
    if (const Report report = current_report.load(std::memory_order_relaxed))
      report(report_text(fiber, locks, suspended));
  } catch (...) {
    // A report must not change what the program does.
  }
}

}  // namespace aiofiber::runtime::held_locks
