// SPDX-License-Identifier: Apache-2.0
//
// Takes the snapshot and makes the text. A record is read before and after its stack; if both readings agree,
// nothing changed in between.
#include "aiofiber/runtime/inspect/task_dump.h"

#include <absl/strings/str_cat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <tuple>

#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/decimals.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "aiofiber/runtime/inspect/call_list.h"
#include "aiofiber/runtime/inspect/function_name.h"
#include "aiofiber/runtime/inspect/registry.h"
#include "aiofiber/runtime/inspect/symbolize.h"
#include "aiofiber/runtime/inspect/thread_sample.h"
#include "aiofiber/runtime/inspect/traceback.h"
#include "aiofiber/runtime/inspect/unwind.h"
#include "aiofiber/runtime/inspect/wait_kind.h"
#include "inspect/utf8.h"

namespace aiofiber::runtime {

namespace {

constexpr std::size_t kMaxCalls = 256;
constexpr int kAttempts = 8;
constexpr std::size_t kNamesShown = 3;
constexpr std::size_t kUngrouped = 16;  // up to this number, tasks are shown one by one

pid_t own_thread() noexcept { return static_cast<pid_t>(::syscall(SYS_gettid)); }

// ---- snapshot

std::optional<aiofiber_record> copy_record(const aiofiber_record& original) {
  aiofiber_record copy;
  if (sys::copy_own_memory(&copy, &original, sizeof copy) != static_cast<ssize_t>(sizeof copy))
    return std::nullopt;
  return copy;
}

void take_calls(const CallSource& source, TaskSnapshot& task) {
  std::array<std::uintptr_t, kMaxCalls * kWordsOfCoroutine> calls;
  const std::size_t most = kMaxCalls * (source.coroutines != 0 ? kWordsOfCoroutine : 1);
  const std::size_t count = list_calls(source, std::span(calls).first(most));
  task.stack.assign(calls.begin(), calls.begin() + static_cast<std::ptrdiff_t>(count));
}

// Copies the suspended stack of another thread's fiber. False: the fiber ran meanwhile.
bool copy_stack(const aiofiber_record& original, TaskSnapshot& task) {
  const std::uintptr_t low = task.record.fcontext;
  const std::uintptr_t high = task.record.stack_high;
  if (low < task.record.stack_low || low >= high) return false;
  std::vector<char> copy(std::min<std::size_t>(high - low, kMaxStackCopied));
  const ssize_t copied = sys::copy_own_memory(copy.data(), reinterpret_cast<const void*>(low), copy.size());
  const auto again = copy_record(original);
  if (copied <= 0 || !again || again->seq != task.record.seq) return false;
  // The saved context is the lowest part of the copy. The `sp` in it is relative to the address of the copy.
  Registers registers = saved_registers(copy.data());
  registers.sp += low - reinterpret_cast<std::uintptr_t>(copy.data());
  const StackBounds bounds{low, low + static_cast<std::uintptr_t>(copied)};
  take_calls({registers, bounds, task.record.coroutines, copy.data()}, task);
  // Coroutines are no part of the copy.
  if (task.record.coroutines == 0) return true;
  const auto at_the_end = copy_record(original);
  return at_the_end && at_the_end->seq == task.record.seq;
}

// The same for a fiber without a stack.
bool copy_coroutines(const aiofiber_record& original, TaskSnapshot& task) {
  take_calls({.coroutines = task.record.coroutines}, task);
  const auto again = copy_record(original);
  return again && again->seq == task.record.seq;
}

void walk_own(const Registers& registers, const aiofiber_record& record, TaskSnapshot& task) {
  const StackBounds bounds =
      record.stack_high != 0 ? StackBounds{record.stack_low, record.stack_high} : thread_stack_bounds();
  take_calls({registers, bounds, record.coroutines, nullptr, true}, task);
}

void sample_running(TaskSnapshot& task) {
  const auto sample = sample_thread(static_cast<pid_t>(task.record.tid));
  if (!sample || sample->fiber_id != task.record.id) return;
  task.stack.assign(sample->addresses.begin(),
                    sample->addresses.begin() + static_cast<std::ptrdiff_t>(sample->count));
  task.system_call = sample->system_call;
}

std::optional<TaskSnapshot> snapshot(const aiofiber_record& original, std::uint32_t own_tid) {
  TaskSnapshot task;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto record = copy_record(original);
    if (!record || record->state == AIOFIBER_FREE || record->id == 0) return std::nullopt;
    task.record = *record;
    const bool own = record->tid == own_tid;
    if (record->state == AIOFIBER_RUNNING) {
      const Fiber* current = current_fiber_or_step();
      if (own && current != nullptr && current->id == record->id) {
        walk_own(current_registers(), *record, task);
      } else if (!own) {
        sample_running(task);
        if (task.stack.empty() && attempt + 1 < kAttempts) continue;  // it suspended before the sample
      }
      return task;
    }
    if ((record->seq & 1) != 0) continue;            // it is being changed
    if (record->state == AIOFIBER_NEW) return task;  // it has never run
    const bool has_stack = record->fcontext != 0 && record->stack_high != 0;
    if (own) {
      walk_own(has_stack ? saved_registers(reinterpret_cast<const void*>(record->fcontext)) : Registers{},
               *record, task);
      return task;
    }
    if (has_stack ? copy_stack(original, task) : copy_coroutines(original, task)) return task;
  }
  return task;
}

// ---- text

std::string seconds(std::int64_t nanoseconds) {
  return decimals(static_cast<double>(nanoseconds) / 1e9, 1) + " s";
}

std::string address_text(const char* what, std::uint64_t address) {
  return absl::StrCat(what, " at 0x", absl::Hex(address));
}

std::string quoted_name(const aiofiber_record& record) { return "'" + task_name(record) + "'"; }

// `'a', 'b', 'c' and 7 more`.
template <class Tasks>
std::string name_list(const Tasks& tasks) {
  std::string out;
  for (std::size_t i = 0; i < std::min(tasks.size(), kNamesShown); ++i)
    absl::StrAppend(&out, i > 0 ? ", " : "", quoted_name(tasks[i]->record));
  if (tasks.size() > kNamesShown) absl::StrAppend(&out, " and ", tasks.size() - kNamesShown, " more");
  return out;
}

std::string watched_tasks(const char* what, std::uint64_t watcher, const TaskIndex& all) {
  const std::vector<const TaskSnapshot*>& watched = all.watched_by(watcher);
  return watched.empty() ? address_text(what, watcher) : absl::StrCat(what, " of ", name_list(watched));
}

// The name of a thread of this process, in quotes; empty if it has ended.
std::string quoted_thread_name(std::uint32_t tid) {
  std::array<char, 32> name;  // the kernel keeps 15 bytes
  const std::string path = absl::StrCat("/proc/self/task/", tid, "/comm");
  std::string_view text(name.data(), sys::read_file(path.c_str(), name.data(), name.size()));
  text = text.substr(0, text.find('\n'));
  return text.empty() ? "" : absl::StrCat(" '", printable(text), "'");
}

// `: getaddrinfo()`, the function of libc whose hook waits; empty if it is unknown.
std::string hooked_call(std::uint64_t id, const TaskIndex& all) {
  const TaskSnapshot* const task = all.find(id);
  if (task == nullptr) return {};
  for (const SymbolizedFrame& frame : program_frames(task->stack)) {
    const bool has_c_name = frame.function.find_first_of(":<{") == std::string::npos;
    if (is_hook(frame.file) && has_c_name) return ": " + frame.function + "()";
  }
  return {};
}

// `, held by task 'x'`, also as `itself`, `thread 4711 'name'` and `a task that has ended`; empty if no
// single owner exists or is known.
std::string held_by(const aiofiber_record& record, const TaskIndex& all) {
  const LockOwner owner = lock_owner(record);
  if (owner.task != 0 && owner.task == record.id) return ", held by itself";
  const TaskSnapshot* const task = owner.task != 0 ? all.find(owner.task) : nullptr;
  if (task != nullptr && (owner.tid == 0 || task->record.tid == owner.tid))
    return ", held by task " + quoted_name(task->record);
  if (owner.tid != 0) return absl::StrCat(", held by thread ", owner.tid, quoted_thread_name(owner.tid));
  return owner.task != 0 ? absl::StrCat(", held by a task that has ended (id ", owner.task, ")") : "";
}

// The time on the loops' clocks: a real clock goes on while its loop hangs, a virtual one shows the time of
// its last poll.
std::int64_t clock_now() noexcept {
  for (const aiofiber_loop& loop : aiofiber_debug_registry.loops) {
    if (__atomic_load_n(&loop.tid, __ATOMIC_RELAXED) != 0 &&
        __atomic_load_n(&loop.is_virtual, __ATOMIC_RELAXED) != 0) {
      return static_cast<std::int64_t>(
          __atomic_load_n(&aiofiber_debug_registry.last_tick_ns, __ATOMIC_RELAXED));
    }
  }
  return SteadyClock::instance().now();
}

// How long the loop of this thread has not read its clock; 0: it reads it, or sleeps.
std::int64_t stands_for(std::uint32_t tid) {
  for (const aiofiber_loop& loop : aiofiber_debug_registry.loops) {
    if (__atomic_load_n(&loop.tid, __ATOMIC_ACQUIRE) != tid || loop.is_virtual != 0) continue;
    std::int64_t last_poll = 0;
    bool polling = true;
    if (sys::copy_own_memory(&last_poll, reinterpret_cast<const void*>(loop.last_poll_at),
                             sizeof last_poll) != sizeof last_poll ||
        sys::copy_own_memory(&polling, reinterpret_cast<const void*>(loop.polling_at), sizeof polling) !=
            sizeof polling) {
      return 0;
    }
    return polling || last_poll == 0 ? 0
                                     : std::max<std::int64_t>(SteadyClock::instance().now() - last_poll, 0);
  }
  return 0;
}

// Above this limit the dump says that a loop stands: asyncio's slow_callback_duration.
constexpr std::int64_t kStands = 100'000'000;

// The time limit that ends the wait; for a sleep, only if the limit is before the sleep's end.
std::string limit_text(const aiofiber_record& record) {
  const std::uint64_t limit = record.wait_limit;
  if (limit == 0 || (record.wait_kind == AIOFIBER_WAIT_SLEEP && record.wait_arg <= limit)) return {};
  const std::int64_t left = std::max<std::int64_t>(static_cast<std::int64_t>(limit) - clock_now(), 0);
  return absl::StrCat(" (limit: ", seconds(left), " left)");
}

// The heading line for tasks with the same stack.
std::string heading(const std::vector<const TaskSnapshot*>& tasks, const TaskIndex& all) {
  const aiofiber_record& record = tasks.front()->record;
  std::string out = tasks.size() > 1 ? absl::StrCat(tasks.size(), " tasks, ", name_list(tasks))
                                     : absl::StrCat("Task ", quoted_name(record), " (id ", record.id, ")");
  switch (record.state) {
    case AIOFIBER_NEW:
      return out + ", not started";
    case AIOFIBER_READY:
      return out + ", ready to run";
    case AIOFIBER_RUNNING:
      return out + ", running" +
             (tasks.front()->system_call.empty() ? "" : " in " + tasks.front()->system_call);
    default:
      break;
  }
  std::int64_t since = record.wait_since_ns;
  for (const TaskSnapshot* task : tasks) since = std::min(since, task->record.wait_since_ns);
  out += ", waiting for " + describe_wait(record, all) + limit_text(record);
  if (tasks.size() > 1) out += " and the like, the longest";
  return out + ", for " + seconds(std::max<std::int64_t>(clock_now() - since, 0));
}

// What a loop that stands is running, if that is none of the tasks.
std::string callback_text(std::uint32_t tid, const std::vector<TaskSnapshot>& all) {
  for (const TaskSnapshot& task : all) {
    if (task.record.tid == tid && task.record.state == AIOFIBER_RUNNING) return {};
  }
  const auto sample = sample_thread(static_cast<pid_t>(tid));
  if (!sample || sample->fiber_id != 0) return {};
  return "A callback, running" + (sample->system_call.empty() ? "" : " in " + sample->system_call) + "\n" +
         format_frames_only(program_frames({sample->addresses.data(), sample->count}));
}

// What the tasks of a group have in common; `alone` separates the tasks that are shown one by one.
auto group_key(const TaskSnapshot& task, std::uint64_t alone) {
  const aiofiber_record& record = task.record;
  return std::tuple(record.tid, record.state, record.wait_kind, record.entry, alone, std::cref(task.stack));
}
struct LessKey {
  template <class Key>
  bool operator()(const Key& a, const Key& b) const {
    const auto head = [](const Key& key) {
      return std::tie(std::get<0>(key), std::get<1>(key), std::get<2>(key), std::get<3>(key),
                      std::get<4>(key));
    };
    return head(a) != head(b) ? head(a) < head(b) : std::get<5>(a).get() < std::get<5>(b).get();
  }
};

std::string stack_text(const TaskSnapshot& task) {
  const std::uint64_t entry = task.record.entry;
  if (task.record.state == AIOFIBER_NEW) return format_frames_only(fiber_frames({}, entry));
  if (task.stack.empty()) return "  (its stack could not be read while it runs)\n";
  const auto frames = fiber_frames(task.stack, entry);
  return frames.empty() ? "  (no frames of the program's own)\n" : format_frames_only(frames);
}

// `load()`; for a lambda also its source line, because its name is not its own.
std::string called_at(std::uint64_t address) {
  const SymbolizedFrame frame = symbolize(address, true).back();
  return called_function(frame.function, frame.file, frame.line);
}

}  // namespace

std::string task_name(const aiofiber_record& record) {
  if (record.name[0] != '\0') return {record.name, ::strnlen(record.name, sizeof record.name)};
  return absl::StrCat("Task-", record.name_number);
}

LockOwner lock_owner(const aiofiber_record& record) {
  if (!names_lock_owner(record)) return {};
  LockOwnerWords words;
  const std::size_t bytes = lock_owner_bytes(record.wait_owner);
  const auto* at = reinterpret_cast<const void*>(lock_owner_address(record.wait_owner));
  if (sys::copy_own_memory(&words, at, bytes) != static_cast<ssize_t>(bytes)) return {};
  return decode_lock_owner(record.wait_owner, words);
}

std::string describe_wait(const aiofiber_record& record, const TaskIndex& all) {
  const std::uint64_t arg = record.wait_arg;
  const WaitKind& kind = wait_kind(record.wait_kind);
  switch (record.wait_kind) {
    case AIOFIBER_WAIT_NONE:
      return {};
    case AIOFIBER_WAIT_SLEEP:
      return absl::StrCat("sleep, ",
                          seconds(std::max<std::int64_t>(static_cast<std::int64_t>(arg) - clock_now(), 0)),
                          " left");
    case AIOFIBER_WAIT_FD:
      return describe_fd(static_cast<int>(arg >> 32)) + wait_events(arg) + wait_others(arg);
    case AIOFIBER_WAIT_FILE_LOCK:
      return "a lock on " + describe_fd(static_cast<int>(arg >> 32));
    case AIOFIBER_WAIT_PROCESS:
    case AIOFIBER_WAIT_THREAD_END: {
      std::string number;
      wait_number(record.wait_kind, arg, number);
      return kind.what + number;
    }
    case AIOFIBER_WAIT_TASK:
      if (const TaskSnapshot* const task = all.find(arg)) return "task " + quoted_name(task->record);
      return absl::StrCat("task with id ", arg);
    case AIOFIBER_WAIT_OFFLOAD:
      return kind.what + hooked_call(record.id, all);
    case AIOFIBER_WAIT_THREAD:
      return kind.what + (arg != 0 ? ": " + called_at(arg) : "");
    case AIOFIBER_WAIT_LOCK: {
      if (arg == 0) return kind.what;  // a lock of abseil does not tell its address
      const std::string variable = data_symbol(arg);
      return (variable.empty() ? kind.what : kind.what + (" '" + variable + "'")) + address_text("", arg) +
             held_by(record, all);
    }
    default:
      return kind.through_watch ? watched_tasks(kind.what, arg, all) : address_text(kind.what, arg);
  }
}

namespace {

// Races with the record's owner; the decisive fields are read again under the sequence lock.
__attribute__((no_sanitize("thread"))) bool looks_free(const aiofiber_record& record) noexcept {
  return *static_cast<const volatile std::uint32_t*>(&record.state) == AIOFIBER_FREE;
}

}  // namespace

TaskIndex::TaskIndex(const std::vector<TaskSnapshot>& tasks) {
  for (const TaskSnapshot& task : tasks) {
    by_id_[task.record.id] = &task;
    if (task.record.watched_by != 0) by_watcher_[task.record.watched_by].push_back(&task);
  }
}

const TaskSnapshot* TaskIndex::find(std::uint64_t id) const {
  const auto found = by_id_.find(id);
  return found != by_id_.end() ? found->second : nullptr;
}

const std::vector<const TaskSnapshot*>& TaskIndex::watched_by(std::uint64_t watcher) const {
  static const std::vector<const TaskSnapshot*> nobody;
  const auto found = by_watcher_.find(watcher);
  return found != by_watcher_.end() ? found->second : nobody;
}

std::vector<TaskSnapshot> snapshot_tasks() {
  notice_unloaded_code();
  std::vector<TaskSnapshot> tasks;
  const auto own_tid = static_cast<std::uint32_t>(own_thread());
  RecordSlab::for_each([&](const aiofiber_record& record) {
    if (looks_free(record)) return;
    if (auto task = snapshot(record, own_tid)) tasks.push_back(std::move(*task));
  });
  std::sort(tasks.begin(), tasks.end(), [](const TaskSnapshot& a, const TaskSnapshot& b) {
    return std::pair(a.record.tid, a.record.id) < std::pair(b.record.tid, b.record.id);
  });
  return tasks;
}

std::string format_task_dump() {
  const HooksOff hooks_off;
  const std::vector<TaskSnapshot> all = snapshot_tasks();
  const TaskIndex index(all);
  std::vector<std::vector<const TaskSnapshot*>> groups;  // in the order of their first tasks
  std::map<decltype(group_key(all.front(), 0)), std::size_t, LessKey> places;
  for (const TaskSnapshot& task : all) {
    const auto [place, fresh] =
        places.try_emplace(group_key(task, all.size() > kUngrouped ? 0 : task.record.id), groups.size());
    if (fresh) groups.emplace_back();
    groups[place->second].push_back(&task);
  }
  std::string out =
      absl::StrCat(all.size(), all.size() == 1 ? " task" : " tasks", " in process ", ::getpid(), "\n");
  std::uint32_t tid = 0;
  for (const auto& group : groups) {
    const TaskSnapshot& first = *group.front();
    if (first.record.tid != tid) {
      tid = first.record.tid;
      const std::int64_t stands = tid == static_cast<std::uint32_t>(own_thread()) ? 0 : stands_for(tid);
      out += "\nLoop of thread " + std::to_string(tid) +
             (stands > kStands ? ", which has not gone on for " + seconds(stands) : "") + "\n";
      if (stands > kStands) out += callback_text(tid, all);
    }
    out += heading(group, index) + "\n" + stack_text(first);
  }
  out += missing_names_line();
  return out;
}

}  // namespace aiofiber::runtime
