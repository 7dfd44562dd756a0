// SPDX-License-Identifier: Apache-2.0
//
// The records as text, and the choice of frames that are the program's own.
#include "inspection.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <span>

#include "aiofiber/runtime/inspect/function_name.h"
#include "aiofiber/runtime/inspect/wait_kind.h"
#include "freeze.h"

namespace aiofiber::tool {
namespace {

// After a statement that was true before the moment at which the other end was read.
constexpr char kEarlier[] = " (a moment ago)";
constexpr std::size_t kNamesShown = 3;  // of tasks that are awaited together

std::string awaited_text(const TaskSnapshot& waiter, const TaskSnapshot& awaited) {
  return absl::StrCat(awaited.record.id, " '", printable(awaited.name()), "'",
                      waiter.seen_together(awaited) ? "" : kEarlier);
}

bool is_plumbing(const Frame& frame) {
  return runtime::is_plumbing(frame.function, frame.linkage_name, frame.file, frame.inlined);
}

// Frames between the program's own code and the waiting call do not count. The wait itself names that call.
bool is_own(const Frame& frame) {
  return !is_plumbing(frame) && !runtime::is_library_code(frame.file, frame.module);
}

// The kind of a live process's descriptor: " (socket)", " (pipe)", " (/dev/tty)".
std::string descriptor_text(const Target& target, std::uint32_t fd) {
  if (!target.live()) return {};
  char link[PATH_MAX];
  const std::string path = absl::StrCat("/proc/", target.pid(), "/fd/", fd);
  const ssize_t length = readlink(path.c_str(), link, sizeof link);
  if (length <= 0) return {};
  std::string text(link, static_cast<std::size_t>(length));
  if (text.starts_with("socket:") || text.starts_with("pipe:")) text.resize(text.find(':'));
  return " (" + printable(text) + ")";
}

}  // namespace

bool is_called(const TaskSnapshot& task, const std::string& wanted) {
  return task.name() == wanted || absl::StrCat(task.record.id) == wanted;
}

Inspection::Inspection(Target& target, const InspectionOptions& options)
    : target_(target),
      options_(options),
      shows_source_(options.show_source || target.owner() == geteuid()),
      registry_address_(find_registry(target)),
      symbolizer_(target) {
  refresh();
}

void Inspection::refresh() {
  SnapshotWishes wishes;
  if (!options_.tasks.empty()) wishes.stack_of = [this](const TaskSnapshot& task) { return is_wanted(task); };
  wishes.walk = [this](const TaskSnapshot& task) { return walker().walk(task); };
  wishes.most_bytes = options_.most_bytes;
  snapshot_ = {};
  if (options_.stop && target_.live()) {
    const Freeze freeze(target_.pid());
    snapshot_ = take_snapshot(target_, registry_address_, wishes, freeze.threads());
  } else {
    snapshot_ = take_snapshot(target_, registry_address_, wishes, target_.threads());
  }
}

bool Inspection::is_wanted(const TaskSnapshot& task) const {
  const auto names_it = [&](const std::string& wanted) { return is_called(task, wanted); };
  return options_.tasks.empty() || std::any_of(options_.tasks.begin(), options_.tasks.end(), names_it);
}

std::vector<std::string> Inspection::standing_loops() const {
  std::vector<std::string> sentences;
  for (const StandingLoop& loop : snapshot_.standing_loops) {
    std::string text = absl::StrCat("the loop of thread ", loop.tid, " has not gone on for ",
                                    duration_text(loop.stands_ns), ": ");
    if (const TaskSnapshot* const task = snapshot_.find(loop.task)) {
      absl::StrAppend(&text, "task ", loop.task, " '", printable(task->name()), "' runs");
    } else {
      text += "a callback runs";
      const std::vector<Frame> frames = callback_frames(loop, false);
      const auto own = std::find_if(frames.begin(), frames.end(), is_own);
      if (own != frames.end()) absl::StrAppend(&text, " in ", short_text(*own));
      if (loop.callback.empty() && !options_.stop) text += " (--stop shows which)";
    }
    sentences.push_back(text + blocked_text(loop));
  }
  return sentences;
}

std::string Inspection::blocked_text(const StandingLoop& loop) const {
  const BlockedThread& blocked = loop.blocked;
  if (blocked.call.empty()) return "";
  std::string text = absl::StrCat(", blocked in ", blocked.call, "(");
  if (blocked.takes_fd) {
    absl::StrAppend(&text, "fd ", static_cast<std::int32_t>(blocked.arguments[0]));
    if (!blocked.file.empty()) absl::StrAppend(&text, " = ", printable(blocked.file));
  }
  text += ")";
  if (blocked.is_uninterruptible) text += ", which no signal ends, as in a wait for a disk";
  if (!waits_for_mutex(loop)) return text;
  absl::StrAppendFormat(&text, " for mutex at %#x", loop.mutex);
  const TaskSnapshot* const task = snapshot_.find(loop.mutex_owner.task);
  if (task == nullptr || task->record.tid != loop.mutex_owner.tid)
    return text + held_by_thread(loop.mutex_owner.tid);
  return absl::StrCat(text, ", held by task ", task->record.id, " '", printable(task->name()), "'");
}

bool Inspection::waits_for_mutex(const StandingLoop& loop) const {
  if (loop.mutex == 0) return false;
  const TaskSnapshot* const task = snapshot_.find(loop.task);
  const std::vector<Address> calls = task != nullptr ? addresses(*task) : loop.callback;
  constexpr std::size_t kInLibc = 6;  // of the innermost calls, libc's own
  const std::span<const Address> innermost = std::span(calls).first(std::min(calls.size(), kInLibc));
  return std::any_of(innermost.begin(), innermost.end(), [&](const Address& call) {
    const std::vector<Frame> frames = symbolizer_.frames(call);
    return std::any_of(frames.begin(), frames.end(), [](const Frame& frame) {
      return frame.function.find("pthread_mutex_") != std::string::npos;
    });
  });
}

std::vector<Frame> Inspection::callback_frames(const StandingLoop& loop, bool all) const {
  std::vector<Frame> frames;
  for (const Address& address : loop.callback) {
    for (const Frame& frame : symbolizer_.frames(address)) {
      if (!all && frame.linkage_name == runtime::kRunsTheLoop) return frames;
      if (all || !is_plumbing(frame)) frames.push_back(frame);
    }
  }
  return frames;
}

std::string Inspection::left_out() const {
  std::string text;
  if (snapshot_.chunks_left_out > 0) {
    text = absl::StrCat("the tasks of ", snapshot_.chunks_left_out, " of ", snapshot_.registry.chunk_count,
                        " parts of its registry are");
  }
  if (snapshot_.stacks_left_out > 0) {
    absl::StrAppend(&text, text.empty() ? "" : " left out; ", "the stacks of ", snapshot_.stacks_left_out,
                    " tasks are");
  }
  return text.empty() ? text : text + " left out, for they are more than --max-memory allows";
}

std::string Inspection::state(const TaskSnapshot& task) const {
  if (task.on_cpu) return "on CPU";
  switch (task.record.state) {
    case AIOFIBER_NEW:
      return "new";
    case AIOFIBER_READY:
      return "ready";
    case AIOFIBER_RUNNING:
      return "on CPU";
    case AIOFIBER_WAITING:
      return "waiting";
    default:
      return absl::StrCat("state ", task.record.state);
  }
}

std::string Inspection::waits_for(const TaskSnapshot& task) const {
  if (!task.waits()) return {};
  const std::string what = what_is_waited_for(task);
  const auto until = snapshot_.limit_ns(task);
  if (what.empty() || !until) return what;
  const std::int64_t left = *until - snapshot_.now_ns;
  return left > 0 ? absl::StrCat(what, ", ", duration_text(left), " left") : what + ", due";
}

std::string Inspection::what_is_waited_for(const TaskSnapshot& task) const {
  const aiofiber_record& record = task.record;
  switch (record.wait_kind) {
    case AIOFIBER_WAIT_SLEEP: {
      const std::int64_t left = static_cast<std::int64_t>(record.wait_arg) - snapshot_.now_ns;
      if (record.wait_arg >= INT64_MAX) return "sleep without end";
      return left > 0 ? absl::StrCat("sleep, ", duration_text(left), " left") : "sleep, due";
    }
    case AIOFIBER_WAIT_FD: {
      const auto fd = static_cast<std::uint32_t>(record.wait_arg >> 32);
      return absl::StrCat("fd ", fd, runtime::wait_events(record.wait_arg), descriptor_text(target_, fd),
                          runtime::wait_others(record.wait_arg));
    }
    case AIOFIBER_WAIT_TASK: {
      const TaskSnapshot* awaited = snapshot_.find(record.wait_arg);
      if (awaited == nullptr) return absl::StrCat("task ", record.wait_arg, " (done)");
      return "task " + awaited_text(task, *awaited);
    }
    case AIOFIBER_WAIT_NONE:
      return "";
    default: {
      const runtime::WaitKind& kind = runtime::wait_kind(record.wait_kind);
      std::string number;
      if (runtime::wait_number(record.wait_kind, record.wait_arg, number)) {
        const bool lock = record.wait_kind == AIOFIBER_WAIT_FILE_LOCK;
        return kind.what + number +
               (lock ? descriptor_text(target_, static_cast<std::uint32_t>(record.wait_arg >> 32)) : "");
      }
      if (record.wait_kind == AIOFIBER_WAIT_OFFLOAD) {
        const std::string call = hooked_call(task);
        return call.empty() ? kind.what : absl::StrCat(kind.what, ": ", call);
      }
      if (record.wait_kind == AIOFIBER_WAIT_THREAD) {
        if (record.wait_arg == 0) return kind.what;
        const Frame called = symbolizer_.frames({.pc = record.wait_arg, .exact = true}).back();
        const std::string call = runtime::called_function(called.function, called.file, called.line);
        return absl::StrCat(kind.what, ": ", printable(call));
      }
      if (kind.through_watch) return kind.what + watched_text(task);
      if (record.wait_arg == 0) return kind.what + held_by(task);
      return absl::StrFormat("%s at %#x%s", kind.what, record.wait_arg, held_by(task));
    }
  }
}

std::string Inspection::watched_text(const TaskSnapshot& task) const {
  const std::vector<const TaskSnapshot*> watched = snapshot_.watched_by(task);
  if (watched.empty()) return {};
  std::string text = watched.size() == 1 ? " of task " : " of tasks ";
  for (std::size_t i = 0; i < std::min(watched.size(), kNamesShown); ++i) {
    absl::StrAppend(&text, i > 0 ? ", " : "", awaited_text(task, *watched[i]));
  }
  if (watched.size() > kNamesShown) absl::StrAppend(&text, " and ", watched.size() - kNamesShown, " more");
  return text;
}

std::string Inspection::held_by(const TaskSnapshot& task) const {
  if (task.owner.task == task.record.id) return ", held by itself";
  if (const TaskSnapshot* owner = snapshot_.find_owner(task)) {
    return absl::StrCat(", held by task ", owner->record.id, " '", printable(owner->name()), "'",
                        task.seen_with_owner(*owner) ? "" : kEarlier);
  }
  if (task.owner.tid != 0) return held_by_thread(task.owner.tid);
  if (task.owner.task == 0) return "";
  return absl::StrCat(", held by task ", task.owner.task,
                      snapshot_.younger.contains(task.owner.task) ? " (just begun)" : " (ended)");
}

std::string Inspection::held_by_thread(std::uint32_t tid) const {
  const std::string thread = printable(target_.thread_name(tid));
  std::string text = absl::StrCat(", held by thread ", tid);
  if (!thread.empty()) absl::StrAppend(&text, " '", thread, "'");
  return text;
}

std::string Inspection::missing_stacks() const {
  if (target_.live()) return {};
  std::size_t missing = 0;
  for (const TaskSnapshot& task : snapshot_.tasks) {
    // gcore writes zeros for memory that it could not read.
    if (!is_wanted(task)) continue;
    if (task.is_stackless()) continue;
    const bool blank = !task.has_stack || (task.registers.values[Registers::kPc] == 0 && !task.exact_pc);
    if (blank && task.record.state != AIOFIBER_NEW) ++missing;
  }
  if (missing == 0) return {};
  return absl::StrCat("the stacks of ", missing, " of ", snapshot_.tasks.size(),
                      " tasks are not in the core. It may be truncated; and gdb's gcore has those of the "
                      "first 4,096 stacks only: let the kernel write the core (ulimit -c unlimited; kill "
                      "-ABRT PID)");
}

std::optional<std::uint64_t> Inspection::stack_deepest(const TaskSnapshot& task) const {
  constexpr std::uint64_t kLargestStack = std::uint64_t{1} << 30;
  const std::uint64_t low = task.record.stack_low, high = task.record.stack_high;
  if (low == 0 || low >= high || high - low > kLargestStack) return std::nullopt;
  const std::uint64_t lowest = target_.lowest_used(low, high);
  if (lowest == 0) return std::nullopt;
  return high - lowest;
}

std::optional<std::int64_t> Inspection::since_ns(const TaskSnapshot& task) const {
  if (task.on_cpu) {  // at most this long
    for (const StandingLoop& loop : snapshot_.standing_loops) {
      if (loop.task == task.record.id) return loop.stands_ns;
    }
    return std::nullopt;
  }
  std::int64_t from = 0;
  if (task.record.state == AIOFIBER_WAITING) from = task.record.wait_since_ns;
  if (task.record.state == AIOFIBER_NEW) from = task.record.created_ns;
  if (from == 0 || from > snapshot_.now_ns) return std::nullopt;
  return snapshot_.now_ns - from;
}

std::vector<Address> Inspection::addresses(const TaskSnapshot& task) const {
  std::vector<Address> calls = walker().walk(task);
  const Address entry{.pc = task.record.entry, .exact = true, .entry = true};
  if (entry.pc == 0 || calls.empty() || task.truncated || task.record.state == AIOFIBER_NEW) return calls;
  bool calls_the_program = false;
  for (const Address& address : calls) {
    for (const Frame& frame : symbolizer_.frames(address)) {
      if (is_own(frame)) return calls;
      calls_the_program |= !is_plumbing(frame);
    }
  }
  if (!calls_the_program || is_own(symbolizer_.frames(entry).back())) calls.push_back(entry);
  return calls;
}

std::string Inspection::hooked_call(const TaskSnapshot& task) const {
  std::string call;
  for (const Address& address : addresses(task)) {
    for (const Frame& frame : symbolizer_.frames(address)) {
      // The outermost frame with a C name, as libc's functions have.
      if (runtime::is_hook(frame.file) && frame.function.find_first_of(":<{") == std::string::npos)
        call = frame.function + "()";
    }
  }
  return call;
}

StackWalker& Inspection::walker() const {
  if (!walker_) walker_ = std::make_unique<StackWalker>(target_);
  return *walker_;
}

std::vector<Frame> Inspection::frames(const std::vector<Address>& addresses, bool all) const {
  std::vector<Frame> frames;
  for (const Address& address : addresses) {
    for (const Frame& frame : symbolizer_.frames(address)) {
      if (all || !is_plumbing(frame)) frames.push_back(frame);
    }
  }
  return frames;
}

std::optional<Frame> Inspection::where(const TaskSnapshot& task) {
  std::optional<Frame> innermost;
  for (const Address& address : addresses(task)) {
    for (const Frame& frame : symbolizer_.frames(address)) {
      if (is_own(frame)) return frame;
      if (!innermost && (!is_plumbing(frame) || frame.entry)) innermost = frame;
    }
  }
  return innermost;
}

std::string duration_text(std::int64_t nanoseconds) {
  const double seconds = static_cast<double>(nanoseconds) / 1e9;
  if (seconds < 10) return absl::StrFormat("%.2f s", seconds);
  if (seconds < 100) return absl::StrFormat("%.1f s", seconds);
  if (seconds < 3600) {
    const auto whole = static_cast<std::int64_t>(seconds);
    return absl::StrCat(whole / 60, " min ", whole % 60, " s");
  }
  const auto minutes = static_cast<std::int64_t>(seconds / 60);
  return absl::StrCat(minutes / 60, " h ", minutes % 60, " min");
}

std::string bytes_text(std::uint64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  const double kib = static_cast<double>(bytes) / 1024;
  return kib < 1024 ? absl::StrFormat("%.1f KiB", kib) : absl::StrFormat("%.1f MiB", kib / 1024);
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string short_text(const Frame& frame) {
  if (frame.line > 0) {
    return absl::StrCat(printable(absl::StrCat(frame.function, " (", base_name(frame.file))), ":", frame.line,
                        ")");
  }
  if (frame.module.empty()) return printable(frame.function);
  return absl::StrFormat("%s+%#x)", printable(absl::StrCat(frame.function, " (", base_name(frame.module))),
                         frame.module_offset);
}

}  // namespace aiofiber::tool
