// SPDX-License-Identifier: Apache-2.0
//
// Four rounds. First all records. Then the stacks of suspended tasks, in few large system calls. Then the
// other tasks one by one, record and stack in one system call: it lasts a microsecond and mostly falls
// between two changes. Then all records again. Tasks whose records are unchanged were in these states at one
// moment, the begin of the last round.
//
// Copies of stacks are kept and unwound on demand. If they are too large, each is unwound at once and
// dropped.
#include "snapshot.h"

#include <absl/container/btree_set.h>
#include <absl/strings/str_cat.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <iterator>
#include <span>
#include <thread>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/inspect/wait_kind.h"
#include "failure.h"

namespace aiofiber::tool {
namespace {

constexpr std::size_t kMostStackBytes = 8 << 20;
constexpr std::size_t kBatchBytes = 8 << 20;  // of stacks that are copied together
constexpr std::size_t kBatchTasks = 4096;
constexpr std::uint64_t kMostChunkBytes = 16 << 20;
constexpr std::uint64_t kMostKeptBytes = 256 << 20;  // of stacks that are not unwound at once
constexpr std::size_t kEntryBytes = 64;              // of a task, in the index
constexpr std::size_t kSmallWindow = 8 << 10;
constexpr std::size_t kLargeWindow = 64 << 10;
constexpr int kTriesSmall = 20;
constexpr int kTriesInAll = 40;
constexpr int kTriesRunning = 4;                     // to read the coroutines of a task on the CPU
constexpr std::size_t kMostCoroutines = 2048;        // of a task
constexpr std::uint64_t kMostOfAThread = 256 << 10;  // of the stack of a thread outside tasks
constexpr std::uint64_t kGuardBytes = 64 << 10;      // below a stack, at least
constexpr std::size_t kHeaderBytes = offsetof(aiofiber_registry, chunks);

bool is_at_rest(const aiofiber_record& record) {
  return record.seq % 2 == 0 && (record.state == AIOFIBER_READY || record.state == AIOFIBER_WAITING);
}
bool is_suspended(const aiofiber_record& record) {
  return is_at_rest(record) && record.fcontext >= record.stack_low && record.fcontext < record.stack_high;
}
bool is_suspended_without_stack(const aiofiber_record& record) {
  return is_at_rest(record) && record.stack_high == 0;
}

// Its seq is odd, but it does not run: it is being created, freed or switched.
bool needs_another_look(const TaskSnapshot& task) {
  return task.record.state != AIOFIBER_FREE &&
         !(task.record.state == AIOFIBER_NEW && task.record.seq % 2 == 0);
}

}  // namespace

namespace {

// The first code of a program writes the header: waits a moment for a process that is still being loaded.
bool read_header(Target& target, std::uint64_t address, aiofiber_registry& header) {
  constexpr int kTries = 200;
  constexpr char kNotWritten[sizeof header.magic] = {};
  for (int tries = 0;; ++tries) {
    if (!target.read(address, &header, kHeaderBytes)) return false;
    const bool is_written = std::memcmp(header.magic, kNotWritten, sizeof header.magic) != 0;
    if (is_written || !target.live() || tries == kTries) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace

aiofiber_registry read_registry(Target& target, std::uint64_t address) {
  aiofiber_registry header{};
  if (!read_header(target, address, header)) {
    throw Failure(
        target.live() ? Exit::kNotAiofiber : Exit::kCore,
        target.name() + ": the registry of tasks cannot be read" +
            (target.live() ? "" : " (a truncated core, or another executable than the one that dumped it)"));
  }
  if (std::memcmp(header.magic, AIOFIBER_REGISTRY_MAGIC, sizeof header.magic) != 0) {
    throw Failure(target.live() ? Exit::kNotAiofiber : Exit::kCore,
                  target.name() + ": there is no registry of tasks where it should be" +
                      (target.live() ? " (has the program begun to run?)"
                                     : " (is this the executable that dumped the core?)"));
  }
  if (header.version != AIOFIBER_REGISTRY_VERSION) {
    throw Failure(Exit::kVersion,
                  absl::StrCat(target.name(), " has a registry of version ", header.version,
                               "; this command knows version ", AIOFIBER_REGISTRY_VERSION,
                               ": use the command of the aiofiber that the program was built with"));
  }
  if (header.arch != runtime::arch::kElfMachine) {
    throw Failure(Exit::kVersion, absl::StrCat(target.name(), " runs on another kind of machine than ",
                                               runtime::arch::kName));
  }
  constexpr std::size_t kLeastRecord = offsetof(aiofiber_record, name);
  if (header.chunk_count > AIOFIBER_REGISTRY_CHUNKS || header.chunk_records > (1 << 20) ||
      header.record_size < kLeastRecord || header.record_stride < header.record_size ||
      header.record_stride > (1 << 16) ||
      std::uint64_t{header.record_stride} * header.chunk_records > kMostChunkBytes ||
      header.ctx_layout > 4096) {
    throw Failure(target.live() ? Exit::kVersion : Exit::kCore, target.name() + ": its registry is damaged");
  }
  constexpr std::size_t kFeaturesAt = offsetof(aiofiber_registry, features);
  if (header.size < kFeaturesAt + sizeof header.features ||
      !target.read(address + kFeaturesAt, &header.features, sizeof header.features)) {
    header.features = 0;
  }
  return header;
}

namespace {

template <class T>
void give_back(std::vector<T>& memory) {
  std::vector<T>().swap(memory);
}

class Reader {
 public:
  Reader(Target& target, Snapshot& snapshot, const SnapshotWishes& wishes, bool stands_still)
      : target_(target),
        snapshot_(snapshot),
        wishes_(wishes),
        stands_still_(stands_still),
        left_(wishes.most_bytes) {}

  void read_records() {
    const aiofiber_registry& registry = snapshot_.registry;
    std::vector<std::uint64_t> chunks(registry.chunk_count);
    if (!target_.read(snapshot_.registry_address + kHeaderBytes, chunks.data(), chunks.size() * 8)) {
      throw Failure(Exit::kCore, target_.name() + ": its registry is cut off");
    }
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      if (overlaps_another(chunks[i])) continue;  // a damaged registry: no task has two records
      if (read_chunk(chunks[i])) continue;
      snapshot_.chunks_left_out = chunks.size() - i;
      return;
    }
  }

  // The stacks of all suspended tasks, and whether these stayed suspended; then those of the others.
  void read_stacks() {
    std::vector<TaskSnapshot*> restless, resting;
    std::uint64_t wanted = 0;
    for (TaskSnapshot& task : snapshot_.tasks) {
      if (wishes_.stack_of && !wishes_.stack_of(task)) continue;
      if (is_suspended(task.record) || is_suspended_without_stack(task.record)) {
        resting.push_back(&task);
        wanted += bytes_to_copy(task);
      } else if (needs_another_look(task)) {
        restless.push_back(&task);
      }
    }
    keep_ = wanted <= std::min(kMostKeptBytes, wishes_.most_bytes / 4);
    for (std::size_t begin = 0; begin < resting.size();) {
      std::size_t end = begin;
      for (std::uint64_t bytes = 0;
           end < resting.size() && end - begin < kBatchTasks && (bytes == 0 || bytes < kBatchBytes); ++end) {
        bytes += bytes_to_copy(*resting[end]);
      }
      read_batch({&resting[begin], end - begin}, restless);
      begin = end;
    }
    for (TaskSnapshot* task : restless) {
      if (stands_still_) {
        task->on_cpu = true;
      } else {
        catch_moving(*task);
      }
    }
  }

  // Reads record, window of the stack and record again, in one system call.
  void catch_moving(TaskSnapshot& task) {
    for (int tries = 0; tries < kTriesInAll; ++tries) {
      ++snapshot_.retries;
      const std::uint64_t high = task.record.stack_high;
      const std::uint64_t whole = high - task.record.stack_low;
      // If a task was seen deeper in its stack, its window reaches as far.
      const std::uint64_t wanted = tries < kTriesSmall ? kSmallWindow : kLargeWindow;
      const std::uint64_t low = high - std::min(whole, wanted);
      aiofiber_record before{}, after{};
      window_.resize(high - low);
      Range ranges[] = {{task.record_address, &before, record_bytes(), false},
                        {low, window_.data(), window_.size(), false},
                        {task.record_address, &after, sizeof after.seq, false}};
      target_.read_in_order(ranges, 3);
      if (!ranges[0].complete) return;
      const bool has_read = ranges[1].complete && ranges[2].complete;
      if (before.state == AIOFIBER_FREE || before.id != task.record.id) {
        task.record.state = AIOFIBER_FREE;  // it ended, or its record belongs to another task now
        return;
      }
      task.record = before;
      if (!has_read || before.seq != after.seq) continue;
      if (before.state == AIOFIBER_NEW && before.seq % 2 == 0) return;
      const bool stackless = is_suspended_without_stack(before);
      if (!stackless && (!is_suspended(before) || before.stack_high != high || before.fcontext < low))
        continue;
      if (!read_coroutines_of(task)) continue;
      if (stackless) return;
      task.stack_address = before.fcontext;
      task.stack.assign(window_.begin() + static_cast<std::ptrdiff_t>(before.fcontext - low), window_.end());
      take_stack(task);
      return;
    }
    task.on_cpu = true;
    task.record.state = AIOFIBER_RUNNING;
  }

  // The coroutines of tasks on the CPU, which no sequence lock protects: two readings that agree were true
  // between them.
  void read_running_coroutines() {
    for (TaskSnapshot& task : snapshot_.tasks) {
      if (task.on_cpu && (!wishes_.stack_of || wishes_.stack_of(task))) read_running_coroutines_of(task);
    }
  }

  // Reads the owners of the locks. Skips tasks that continued meanwhile, because their lock may be gone.
  void read_lock_owners() {
    std::vector<TaskSnapshot*> waiting;
    for (TaskSnapshot& task : snapshot_.tasks) {
      if (!task.on_cpu && task.record.seq % 2 == 0 && runtime::names_lock_owner(task.record))
        waiting.push_back(&task);
    }
    std::vector<runtime::LockOwnerWords> words(waiting.size());
    std::vector<std::uint64_t> seq_after(waiting.size());
    std::vector<Range> ranges;
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      const std::uint64_t at = waiting[i]->record.wait_owner;
      ranges.push_back({runtime::lock_owner_address(at), &words[i], runtime::lock_owner_bytes(at), false});
      ranges.push_back({waiting[i]->record_address, &seq_after[i], sizeof seq_after[i], false});
    }
    target_.read_in_order(ranges, 2);
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      const aiofiber_record& record = waiting[i]->record;
      if (!ranges[2 * i].complete || (target_.live() && seq_after[i] != record.seq)) continue;
      waiting[i]->owner = runtime::decode_lock_owner(record.wait_owner, words[i]);
    }
  }

  // In a frozen target, the thread whose stack pointer is on the task's stack runs the task.
  void give_registers(const std::vector<ThreadRegisters>& threads) {
    for (TaskSnapshot& task : snapshot_.tasks) {
      for (const ThreadRegisters& thread : threads) {
        const std::uint64_t sp = thread.registers.values[Registers::kSp];
        // After an overflow, a thread's stack pointer is in the guard.
        if (sp + kGuardBytes < task.record.stack_low || sp >= task.record.stack_high) continue;
        task.registers = thread.registers;
        task.exact_pc = true;
        if (!task.on_cpu) read_running_coroutines_of(task);
        task.on_cpu = true;
        task.stack_address = std::max(sp, task.record.stack_low);
        task.stack.resize(
            std::min<std::uint64_t>(task.record.stack_high - task.stack_address, most_of_a_stack()));
        if (target_.read(task.stack_address, task.stack.data(), task.stack.size())) {
          take_stack(task);
        } else {
          task.stack.clear();
        }
      }
    }
  }

  // A task without a stack runs on its loop's.
  void give_registers_of_loops(const std::vector<ThreadRegisters>& threads) {
    for (TaskSnapshot& task : snapshot_.tasks) {
      if (!task.on_cpu || !task.is_stackless()) continue;
      const std::uint32_t tid = target_.thread_id(task.record.tid);
      for (const ThreadRegisters& thread : threads) {
        const std::uint64_t sp = thread.registers.values[Registers::kSp];
        if (static_cast<std::uint32_t>(thread.tid) != tid || is_on_stack_of_a_task(sp)) continue;
        task.registers = thread.registers;
        take_stack_of_loop(task, sp, read_upwards(sp, kMostOfAThread));
      }
    }
  }

  // Only for live programs with a real clock: a core and a virtual clock always stand still.
  void find_standing_loops(std::int64_t now_ns, const std::vector<ThreadRegisters>& threads) {
    constexpr std::size_t kLoopsAt = offsetof(aiofiber_registry, loops);
    std::vector<aiofiber_loop> loops(AIOFIBER_REGISTRY_LOOPS);
    const std::size_t bytes = loops.size() * sizeof(aiofiber_loop);
    if (!target_.live() || snapshot_.registry.size < kLoopsAt + bytes ||
        !target_.read(snapshot_.registry_address + kLoopsAt, loops.data(), bytes)) {
      return;
    }
    for (const aiofiber_loop& loop : loops) {
      std::int64_t last_poll = 0;
      unsigned char polling = 1;
      if (loop.tid == 0 || loop.is_virtual != 0 ||
          !target_.read(loop.last_poll_at, &last_poll, sizeof last_poll) ||
          !target_.read(loop.polling_at, &polling, sizeof polling) || polling != 0 || last_poll <= 0 ||
          now_ns - last_poll < StandingLoop::kLeastNs) {
        continue;
      }
      StandingLoop standing;
      standing.tid = target_.thread_id(loop.tid);
      standing.stands_ns = now_ns - last_poll;
      const BlockedThread blocked = standing.blocked = target_.blocked_thread(standing.tid);
      read_mutex(standing);
      for (TaskSnapshot& task : snapshot_.tasks) {
        if (task.record.tid != standing.tid || !task.on_cpu) continue;
        standing.task = task.record.id;
        take_blocked_stack(task, blocked);
      }
      if (standing.task == 0) standing.callback = calls_of_thread(standing.tid, blocked, threads);
      snapshot_.standing_loops.push_back(std::move(standing));
    }
  }

  // libc waits for a mutex by a futex on its first word, which is 2 while anybody waits; with priority
  // inheritance it is the owner's id, and the kernel waits.
  void read_mutex(StandingLoop& standing) {
    constexpr std::uint64_t kOwnerAt = 8;  // in a pthread_mutex_t of 64 bits
    const BlockedThread& blocked = standing.blocked;
    const std::uint64_t address = blocked.arguments[0];
    const std::uint64_t operation = blocked.arguments[1] & static_cast<std::uint64_t>(FUTEX_CMD_MASK);
    const bool inherits = operation == FUTEX_LOCK_PI || operation == FUTEX_LOCK_PI2;
    const bool waits = operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET;
    if (blocked.number != SYS_futex || !(inherits || (waits && blocked.arguments[2] == 2))) return;
    std::uint32_t word = 0;
    runtime::LockOwnerWords words;
    if (!target_.read(address, &word, sizeof word) || (!inherits && word != 2) ||
        !target_.read(address + kOwnerAt, &words, sizeof words)) {
      return;
    }
    runtime::LockOwner owner =
        runtime::decode_lock_owner((address + kOwnerAt) | AIOFIBER_OWNER_THREAD, words);
    if (owner.tid == 0) return;
    owner.tid = target_.thread_id(owner.tid);
    standing.mutex = address;
    standing.mutex_owner = owner;
  }

  // Finds the tasks whose records are unchanged. They all were in these states at one moment, when the first
  // record was read again.
  void find_steady() {
    std::vector<aiofiber_record> again;
    for (std::size_t begin = 0; begin < snapshot_.tasks.size(); begin += kBatchTasks) {
      const std::size_t count = std::min(kBatchTasks, snapshot_.tasks.size() - begin);
      again.assign(count, {});
      std::vector<Range> ranges;
      for (std::size_t i = 0; i < count && !stands_still_; ++i) {
        ranges.push_back({snapshot_.tasks[begin + i].record_address, &again[i], record_bytes(), false});
      }
      target_.read_in_order(ranges, 1);
      for (std::size_t i = 0; i < count; ++i) {
        TaskSnapshot& task = snapshot_.tasks[begin + i];
        task.steady = stands_still_ || (!task.on_cpu && task.record.seq % 2 == 0 && ranges[i].complete &&
                                        std::memcmp(&task.record, &again[i], record_bytes()) == 0);
      }
    }
  }

  void finish(bool frozen) {
    std::erase_if(snapshot_.tasks, [](const TaskSnapshot& t) { return t.record.state == AIOFIBER_FREE; });
    for (TaskSnapshot& task : snapshot_.tasks) {
      task.record.name[sizeof task.record.name - 1] = '\0';
      // A target in its own PID namespace writes its own ids everywhere.
      if (task.record.tid != 0) task.record.tid = target_.thread_id(task.record.tid);
      if (task.owner.tid != 0) task.owner.tid = target_.thread_id(task.owner.tid);
      if (!frozen && !task.has_stack && task.record.state == AIOFIBER_RUNNING) task.on_cpu = true;
    }
    std::sort(snapshot_.tasks.begin(), snapshot_.tasks.end(),
              [](const TaskSnapshot& a, const TaskSnapshot& b) { return a.record.id < b.record.id; });
    snapshot_.by_id.reserve(snapshot_.tasks.size());
    for (std::size_t i = 0; i < snapshot_.tasks.size(); ++i) {
      const aiofiber_record& record = snapshot_.tasks[i].record;
      snapshot_.by_id[record.id] = i;
      if (record.watched_by != 0) snapshot_.by_watcher[record.watched_by].push_back(i);
    }
    find_younger_owners();
  }

 private:
  std::size_t record_bytes() const {
    return std::min<std::size_t>(sizeof(aiofiber_record), snapshot_.registry.record_size);
  }
  std::uint64_t most_of_a_stack() const {
    return std::min<std::uint64_t>(kMostStackBytes, wishes_.most_bytes / 4);
  }
  std::uint64_t bytes_to_copy(const TaskSnapshot& task) const {
    if (task.is_stackless()) return 0;
    return std::min<std::uint64_t>(task.record.stack_high - task.record.fcontext, most_of_a_stack());
  }
  bool take(std::uint64_t bytes) {
    if (bytes > left_) return false;
    left_ -= bytes;
    return true;
  }

  bool overlaps_another(std::uint64_t chunk) {
    const std::uint64_t bytes =
        std::uint64_t{snapshot_.registry.record_stride} * snapshot_.registry.chunk_records;
    const auto after = chunks_.lower_bound(chunk);
    if (after != chunks_.end() && *after - chunk < bytes) return true;
    if (after != chunks_.begin() && chunk - *std::prev(after) < bytes) return true;
    chunks_.insert(after, chunk);
    return false;
  }

  // False: the limit of memory does not allow its tasks.
  bool read_chunk(std::uint64_t chunk) {
    const std::size_t stride = snapshot_.registry.record_stride;
    bytes_.resize(stride * snapshot_.registry.chunk_records);
    if (!target_.read(chunk, bytes_.data(), bytes_.size()))
      return true;  // not there, or cut off in a truncated core
    for (std::size_t i = 0; i < snapshot_.registry.chunk_records; ++i) {
      TaskSnapshot task;
      std::memcpy(&task.record, &bytes_[i * stride], record_bytes());
      if (task.record.state == AIOFIBER_FREE) continue;
      // The list of tasks doubles when it grows.
      if (!take(2 * sizeof task + kEntryBytes)) return false;
      task.record_address = chunk + i * stride;
      snapshot_.tasks.push_back(std::move(task));
    }
    return true;
  }

  // Adds tasks that did not stay suspended to `restless`.
  void read_batch(std::span<TaskSnapshot* const> tasks, std::vector<TaskSnapshot*>& restless) {
    std::vector<std::uint64_t> seq_after(tasks.size());
    std::vector<Range> ranges;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      TaskSnapshot& task = *tasks[i];
      task.truncated = task.record.stack_high - task.record.fcontext > most_of_a_stack();
      task.stack.resize(bytes_to_copy(task));
      task.stack_address = task.record.fcontext;
      ranges.push_back({task.stack_address, task.stack.data(), task.stack.size(), false});
      ranges.push_back({task.record_address, &seq_after[i], sizeof seq_after[i], false});
    }
    target_.read_in_order(ranges, 2);
    std::vector<TaskSnapshot*> whole;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const bool read = ranges[2 * i].complete && (!target_.live() || ranges[2 * i + 1].complete);
      if (read && (!target_.live() || seq_after[i] == tasks[i]->record.seq)) {
        whole.push_back(tasks[i]);
      } else {
        give_back(tasks[i]->stack);
        if (target_.live()) restless.push_back(tasks[i]);
      }
    }
    const std::vector<bool> unchanged = read_coroutines(whole);
    for (std::size_t i = 0; i < whole.size(); ++i) {
      if (!unchanged[i]) {
        give_back(whole[i]->stack);
        restless.push_back(whole[i]);
      } else if (!whole[i]->is_stackless()) {
        take_stack(*whole[i]);
      }
    }
  }

  // Follows the coroutines of all these tasks together, one link of each at a time. Returns for each task
  // whether it stayed suspended.
  std::vector<bool> read_coroutines(std::span<TaskSnapshot* const> tasks) {
    std::vector<bool> unchanged(tasks.size(), true);
    struct Walk {
      std::size_t task;
      runtime::CoroutineWalk walk;
      Walk(std::size_t index, std::uint64_t newest) : task(index), walk(newest) {}
    };
    std::deque<Walk> walks;  // they do not move: what is read goes into them
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      give_back(tasks[i]->coroutines);
      if (tasks[i]->record.coroutines != 0) walks.emplace_back(i, tasks[i]->record.coroutines);
    }
    if (walks.empty()) return unchanged;
    std::vector<Walk*> going;
    for (Walk& each : walks) going.push_back(&each);
    std::vector<Range> ranges;
    while (!going.empty()) {
      ranges.clear();
      for (const Walk* each : going) {
        for (const auto& wish : each->walk.wishes())
          ranges.push_back({wish.address, wish.into, wish.bytes, false});
      }
      target_.read_in_order(ranges, 1);
      std::size_t at = 0;
      for (Walk* each : going) {
        const std::size_t count = each->walk.wishes().size();
        const auto is_complete = [](const Range& range) { return range.complete; };
        const bool all = std::all_of(&ranges[at], &ranges[at] + count, is_complete);
        at += count;
        const runtime::CoroutineCall* const found = all ? each->walk.go_on() : nullptr;
        if (!all || (found != nullptr && !keep(*found, *tasks[each->task]))) each->walk.give_up();
      }
      std::erase_if(going, [](const Walk* each) { return each->walk.wishes().empty(); });
    }
    if (!target_.live()) return unchanged;
    std::vector<std::uint64_t> seq_after(walks.size());
    ranges.clear();
    for (std::size_t i = 0; i < walks.size(); ++i)
      ranges.push_back({tasks[walks[i].task]->record_address, &seq_after[i], sizeof seq_after[i], false});
    target_.read_in_order(ranges, 1);
    for (std::size_t i = 0; i < walks.size(); ++i) {
      const TaskSnapshot& task = *tasks[walks[i].task];
      unchanged[walks[i].task] = ranges[i].complete && seq_after[i] == task.record.seq;
    }
    return unchanged;
  }
  bool read_coroutines_of(TaskSnapshot& task) {
    TaskSnapshot* const tasks[] = {&task};
    return read_coroutines(tasks)[0];
  }

  // False: the limit of memory does not allow more.
  bool keep(const runtime::CoroutineCall& coroutine, TaskSnapshot& task) {
    if (task.coroutines.size() == kMostCoroutines) return false;
    if (!take(sizeof coroutine)) {
      ++snapshot_.stacks_left_out;
      return false;
    }
    task.coroutines.push_back(coroutine);
    return true;
  }

  void read_running_coroutines_of(TaskSnapshot& task) {
    std::vector<runtime::CoroutineCall> before;
    for (int tries = 0; tries < kTriesRunning; ++tries) {
      aiofiber_record now{};
      if (!target_.read(task.record_address, &now, record_bytes()) || now.id != task.record.id) break;
      task.record.coroutines = now.coroutines;
      read_coroutines_of(task);
      if (tries > 0 && before == task.coroutines) return;
      before = std::move(task.coroutines);
      task.coroutines.clear();
    }
  }

  void take_stack_of_loop(TaskSnapshot& task, std::uint64_t sp, std::vector<unsigned char> stack) {
    if (stack.empty()) return;
    task.exact_pc = true;
    task.stack_address = sp;
    task.stack = std::move(stack);
    take_stack(task);
  }

  // An owner that is not in the list has ended, or began after the list was read.
  void find_younger_owners() {
    absl::flat_hash_set<std::uint64_t> missing;
    for (const TaskSnapshot& task : snapshot_.tasks) {
      if (task.owner.task != 0 && snapshot_.find(task.owner.task) == nullptr) missing.insert(task.owner.task);
    }
    if (missing.empty() || stands_still_) return;
    const std::size_t stride = snapshot_.registry.record_stride;
    for (const std::uint64_t chunk : chunks_) {
      bytes_.resize(stride * snapshot_.registry.chunk_records);
      if (!target_.read(chunk, bytes_.data(), bytes_.size())) continue;
      for (std::size_t at = 0; at < bytes_.size(); at += stride) {
        aiofiber_record record{};
        std::memcpy(&record, &bytes_[at], record_bytes());
        if (record.state != AIOFIBER_FREE && missing.contains(record.id)) snapshot_.younger.insert(record.id);
      }
    }
  }

  // A thread that is blocked in a system call does not move, so its stack can be copied although its task is
  // on the CPU. The kernel gives its rip and rsp, but not rbp and rbx, so unwinding may end early.
  void take_blocked_stack(TaskSnapshot& task, const BlockedThread& blocked) {
    if (task.has_stack || blocked.sp == 0) return;
    read_running_coroutines_of(task);
    if (task.is_stackless() && !is_on_stack_of_a_task(blocked.sp)) {
      std::vector<unsigned char> stack = read_upwards(blocked.sp, kMostOfAThread);
      if (target_.blocked_thread(task.record.tid) != blocked) return;
      task.registers = {};
      task.registers.values[Registers::kSp] = blocked.sp;
      task.registers.values[Registers::kPc] = blocked.pc;
      take_stack_of_loop(task, blocked.sp, std::move(stack));
      return;
    }
    if (blocked.sp < task.record.stack_low || blocked.sp >= task.record.stack_high) return;
    task.stack.resize(std::min<std::uint64_t>(task.record.stack_high - blocked.sp, most_of_a_stack()));
    if (!target_.read(blocked.sp, task.stack.data(), task.stack.size()) ||
        target_.blocked_thread(task.record.tid) != blocked) {
      give_back(task.stack);
      return;
    }
    task.registers = {};
    task.registers.values[Registers::kSp] = blocked.sp;
    task.registers.values[Registers::kPc] = blocked.pc;
    task.exact_pc = true;
    task.stack_address = blocked.sp;
    take_stack(task);
  }

  // For a thread that does not move: stopped, with all its registers, or blocked, with few of them (see
  // above).
  std::vector<Address> calls_of_thread(std::uint32_t tid, const BlockedThread& blocked,
                                       const std::vector<ThreadRegisters>& threads) {
    TaskSnapshot thread;
    thread.record.state = AIOFIBER_RUNNING;
    thread.registers.values[Registers::kSp] = blocked.sp;
    thread.registers.values[Registers::kPc] = blocked.pc;
    thread.exact_pc = true;
    const auto it = std::find_if(threads.begin(), threads.end(), [tid](const ThreadRegisters& each) {
      return static_cast<std::uint32_t>(each.tid) == tid;
    });
    if (it != threads.end()) thread.registers = it->registers;
    const std::uint64_t sp = thread.registers.values[Registers::kSp];
    if (!wishes_.walk || sp == 0 || is_on_stack_of_a_task(sp)) return {};
    thread.stack_address = sp;
    thread.stack = read_upwards(sp, kMostOfAThread);
    if (it == threads.end() && target_.blocked_thread(tid) != blocked) return {};
    return wishes_.walk(thread);
  }

  bool is_on_stack_of_a_task(std::uint64_t sp) const {
    return std::any_of(snapshot_.tasks.begin(), snapshot_.tasks.end(), [sp](const TaskSnapshot& task) {
      return sp >= task.record.stack_low && sp < task.record.stack_high;
    });
  }

  // Reads as far as there is memory, because the begin of a thread's stack is unknown.
  std::vector<unsigned char> read_upwards(std::uint64_t address, std::uint64_t most) {
    constexpr std::uint64_t kPage = 4096;  // larger ones are a multiple
    std::vector<unsigned char> bytes(most);
    std::vector<Range> ranges;
    for (std::uint64_t at = 0; at < most; at += ranges.back().bytes) {
      const std::uint64_t to_the_next_page = kPage - (address + at) % kPage;
      ranges.push_back({address + at, &bytes[at], std::min(to_the_next_page, most - at), false});
    }
    target_.read_in_order(ranges, 1);
    std::size_t there = 0;
    for (auto it = ranges.begin(); it != ranges.end() && it->complete; ++it) there += it->bytes;
    bytes.resize(there);
    return bytes;
  }

  // For a complete copy: keeps it, or unwinds it at once.
  void take_stack(TaskSnapshot& task) {
    task.has_stack = true;
    take_saved_registers(task);
    if (keep_ && take(task.stack.size())) return;
    if (wishes_.walk) task.addresses = wishes_.walk(task);
    task.walked = wishes_.walk && take(task.addresses.capacity() * sizeof(Address));
    give_back(task.stack);
    if (task.walked) return;
    give_back(task.addresses);
    task.has_stack = false;
    ++snapshot_.stacks_left_out;
  }

  void take_saved_registers(TaskSnapshot& task) const {
    if (task.exact_pc) return;
    runtime::arch::from_saved_context(task.stack, snapshot_.registry.ctx_layout, task.record.fcontext,
                                      task.registers);
  }

  Target& target_;
  Snapshot& snapshot_;
  const SnapshotWishes& wishes_;
  const bool stands_still_;  // a core, or frozen
  std::uint64_t left_;       // of the memory limit
  bool keep_ = false;        // keep stacks, to unwind them later
  absl::btree_set<std::uint64_t> chunks_;
  std::vector<unsigned char> bytes_, window_;
};

}  // namespace

std::string TaskSnapshot::name() const {
  if (record.name[0] != '\0') return record.name;
  return absl::StrCat("Task-", record.name_number != 0 ? record.name_number : record.id);
}

std::uint64_t TaskSnapshot::stack_used() const {
  return stack_address != 0 && has_stack && record.stack_high != 0 ? record.stack_high - stack_address : 0;
}

const TaskSnapshot* Snapshot::find(std::uint64_t id) const {
  const auto found = by_id.find(id);
  return found == by_id.end() ? nullptr : &tasks[found->second];
}

std::vector<const TaskSnapshot*> Snapshot::watched_by(const TaskSnapshot& task) const {
  std::vector<const TaskSnapshot*> watched;
  if (!task.waits() || !runtime::wait_kind(task.record.wait_kind).through_watch) return watched;
  const auto found = by_watcher.find(task.record.wait_arg);
  if (found == by_watcher.end()) return watched;
  for (const std::size_t i : found->second) watched.push_back(&tasks[i]);
  return watched;
}

std::optional<std::int64_t> Snapshot::limit_ns(const TaskSnapshot& task) const {
  const aiofiber_record& record = task.record;
  // Older programs do not have this field: their records are shorter, and it was not written.
  if (!task.waits() || record.wait_limit == 0 || record.wait_limit > INT64_MAX) return std::nullopt;
  const auto limit = static_cast<std::int64_t>(record.wait_limit);
  // For a sleep, the earlier of the two limits counts.
  const bool sooner = record.wait_kind != AIOFIBER_WAIT_SLEEP || record.wait_limit < record.wait_arg;
  return sooner ? std::optional(limit) : std::nullopt;
}

const TaskSnapshot* Snapshot::find_owner(const TaskSnapshot& task) const {
  const TaskSnapshot* owner = task.owner.task != 0 ? find(task.owner.task) : nullptr;
  return owner != nullptr && (task.owner.tid == 0 || owner->record.tid == task.owner.tid) ? owner : nullptr;
}

Snapshot take_snapshot(Target& target, std::uint64_t registry_address, const SnapshotWishes& wishes,
                       const std::vector<ThreadRegisters>& threads) {
  Snapshot snapshot;
  snapshot.registry_address = registry_address;
  snapshot.registry = read_registry(target, registry_address);
  Reader reader(target, snapshot, wishes, !target.live() || !threads.empty());
  reader.read_records();
  reader.read_stacks();
  reader.read_running_coroutines();
  reader.read_lock_owners();
  reader.give_registers(threads);
  reader.give_registers_of_loops(threads);
  reader.find_steady();
  reader.finish(!threads.empty());
  snapshot.now_ns = target.now_ns(static_cast<std::int64_t>(snapshot.registry.last_tick_ns));
  reader.find_standing_loops(snapshot.now_ns, threads);
  return snapshot;
}

}  // namespace aiofiber::tool
