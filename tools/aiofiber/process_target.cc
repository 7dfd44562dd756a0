// SPDX-License-Identifier: Apache-2.0
//
// A live process: memory through process_vm_readv, modules from /proc/PID/maps.
//
// The process is not stopped and not traced. Its files are searched through /proc/PID/exe (the executable may
// be deleted or replaced), /proc/PID/root (it may be in another mount namespace), and /proc/PID/map_files
// (libraries may be replaced), before the plain path.
#include <absl/container/flat_hash_map.h>
#include <absl/container/inlined_vector.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

#include "failure.h"
#include "inspect/debug_file.h"
#include "inspect/process_modules.h"
#include "inspect/regular_file.h"
#include "inspect/system_call.h"
#include "target.h"

namespace aiofiber::tool {
namespace {

std::string proc(pid_t pid, const std::string& file) { return absl::StrCat("/proc/", pid, "/", file); }

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string text;
  std::getline(in, text);
  return text;
}

// Why reading the process is not permitted, and which setting changes this.
Failure permission_failure(pid_t pid) {
  std::string text = absl::StrCat("no permission to read process ", pid);
  struct stat status {};
  if (stat(proc(pid, "").c_str(), &status) == 0 && status.st_uid != geteuid()) {
    absl::StrAppend(&text, ": it belongs to uid ", status.st_uid, ", you are uid ", geteuid(),
                    ". Run the command as that user or as root (capability CAP_SYS_PTRACE)");
    if (status.st_uid == 0) {
      text += "; a process that changed its user, or called prctl(PR_SET_DUMPABLE, 0), counts as root's";
    }
    return {Exit::kPermission, text + "."};
  }
  const std::string scope = first_line("/proc/sys/kernel/yama/ptrace_scope");
  if (!scope.empty() && scope != "0") {
    return {Exit::kPermission,
            absl::StrCat(text, ": /proc/sys/kernel/yama/ptrace_scope is ", scope,
                         scope == "3" ? ", which forbids it to everybody until the next boot."
                                      : ". Run the command as root, write 0 there, or let the program call "
                                        "prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY).")};
  }
  return {Exit::kPermission, text +
                                 ", though it is yours: in a container, run the command inside it or add the "
                                 "capability CAP_SYS_PTRACE (docker run --cap-add SYS_PTRACE)."};
}

// The ids of the threads here, by their ids in their innermost PID namespace: status has all ids of a thread,
// from the reader's namespace inwards (proc(5): NSpid).
absl::flat_hash_map<std::uint32_t, std::uint32_t> read_thread_ids(pid_t pid) {
  static const std::string kField = "NSpid:";
  absl::flat_hash_map<std::uint32_t, std::uint32_t> ids;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator(proc(pid, "task"), gone)) {
    std::ifstream status(entry.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (!line.starts_with(kField)) continue;
      std::istringstream words(line.substr(kField.size()));
      const std::vector<std::uint32_t> all{std::istream_iterator<std::uint32_t>(words), {}};
      if (!all.empty()) ids[all.back()] = all.front();
      break;
    }
  }
  return ids;
}

Failure no_process(pid_t pid, bool ended) {
  return {Exit::kNoProcess, ended ? absl::StrCat("process ", pid, " ended while it was read")
                                  : absl::StrCat("there is no process ", pid)};
}

Failure no_program(pid_t pid) {
  return {Exit::kNoProcess,
          absl::StrCat("process ", pid, " has no program (a thread of the kernel, or one that has ended)")};
}

// ---- files of the modules. libdwfl's callbacks have no argument for the process, so it is stored here.

pid_t g_pid = 0;

int open_as(const std::string& path, char** file_name) {
  const int fd = runtime::open_elf_file(path);
  if (fd >= 0) *file_name = strdup(path.c_str());
  return fd;
}

bool is_executable_of_target(const std::string& name) {
  char link[PATH_MAX];
  const ssize_t length = readlink(proc(g_pid, "exe").c_str(), link, sizeof link);
  if (length <= 0) return false;
  const std::string target(link, static_cast<std::size_t>(length));
  return target == name || target == name + " (deleted)";
}

// The mapping at `start`, as a link to the mapped file, deleted or not.
std::string map_file(Dwarf_Addr start) {
  std::ifstream maps(proc(g_pid, "maps"));
  for (std::string line; std::getline(maps, line);) {
    const std::string range = line.substr(0, line.find(' '));
    std::uint64_t begin = 0;
    if (absl::SimpleHexAtoi(range.substr(0, range.find('-')), &begin) && begin == start)
      return proc(g_pid, "map_files/" + range);
  }
  return {};
}

int find_elf(Dwfl_Module* module, void** user_data, const char* module_name, Dwarf_Addr base,
             char** file_name, Elf** elf) {
  constexpr std::string_view kDeleted = " (deleted)";
  std::string name = module_name != nullptr ? module_name : "";
  if (!name.empty() && name[0] == '/') {
    const bool deleted = name.ends_with(kDeleted);
    if (deleted) name.resize(name.size() - kDeleted.size());
    int fd = -1;
    if (is_executable_of_target(name)) fd = open_as(proc(g_pid, "exe"), file_name);
    if (fd < 0 && deleted) fd = open_as(map_file(base), file_name);
    if (fd < 0 && !deleted) fd = open_as(proc(g_pid, "root") + name, file_name);
    if (fd < 0 && !deleted) fd = open_as(name, file_name);
    return fd;  // if it was deleted, another file may have its path now
  }
  return dwfl_linux_proc_find_elf(module, user_data, module_name, base, file_name, elf);
}

const Dwfl_Callbacks* callbacks() {
  static char* debug_path = nullptr;
  static const Dwfl_Callbacks result{
      .find_elf = find_elf,
      .find_debuginfo = runtime::find_debug_file,
      .section_address = dwfl_offline_section_address,
      .debuginfo_path = &debug_path,
  };
  return &result;
}

// ---- the target

class ProcessTarget : public Target {
 public:
  explicit ProcessTarget(pid_t pid) : pid_(pid) {
    if (access(proc(pid, "").c_str(), F_OK) != 0) throw no_process(pid, false);
    g_pid = pid;
    runtime::set_debug_root(proc(pid, "root"));
    modules_.reset(dwfl_begin(callbacks()));
    if (!modules_) throw Failure(Exit::kInternal, "libdwfl: " + std::string(dwfl_errmsg(-1)));
    dwfl_report_begin(modules_.get());
    const int error = runtime::report_process_modules(modules_.get(), pid);
    if (error == EACCES || error == EPERM) throw permission_failure(pid);
    // A kernel thread, or a zombie, is a process without a program.
    if (error == ENOENT || error == ESRCH)
      throw access(proc(pid, "").c_str(), F_OK) != 0 ? no_process(pid, true) : no_program(pid);
    if (error != 0) {
      throw Failure(Exit::kInternal,
                    absl::StrCat("cannot list the modules of process ", pid, ": ", std::strerror(error)));
    }
    dwfl_report_end(modules_.get(), nullptr, nullptr);
    check_alive();
  }

  ~ProcessTarget() override {
    if (pagemap_ >= 0) close(pagemap_);
    if (memory_ >= 0) close(memory_);
  }

  void read_in_order(std::span<Range> ranges, std::size_t together) override {
    const std::size_t most = IOV_MAX / together * together;
    absl::InlinedVector<iovec, 16> local, remote;  // most reads have one to three ranges
    for (std::size_t at = 0; at < ranges.size();) {
      const std::size_t count = std::min(most, ranges.size() - at);
      std::size_t wanted = 0;
      local.resize(count);
      remote.resize(count);
      for (std::size_t i = 0; i < count; ++i) {
        Range& range = ranges[at + i];
        local[i] = {range.into, range.bytes};
        remote[i] = {reinterpret_cast<void*>(range.address), range.bytes};
        wanted += range.bytes;
      }
      const ssize_t got = read_pieces(local, remote);
      if (got < 0 && errno != EFAULT) throw read_failure(errno);
      std::size_t left = got > 0 ? static_cast<std::size_t>(got) : 0;
      if (left == wanted) {
        for (std::size_t i = 0; i < count; ++i) ranges[at + i].complete = true;
        at += count;
        continue;
      }
      // A range is missing. The ranges before it were read. Continue after it, with a whole group of ranges.
      std::size_t i = 0;
      for (; i < count && ranges[at + i].bytes <= left; ++i) {
        ranges[at + i].complete = true;
        left -= ranges[at + i].bytes;
      }
      for (std::size_t k = i; k < (i / together + 1) * together && at + k < ranges.size(); ++k) {
        ranges[at + k].complete = false;
      }
      at += (i / together + 1) * together;
    }
  }

  // proc(5), /proc/PID/pagemap: one word for each page.
  std::uint64_t lowest_used(std::uint64_t low, std::uint64_t high) const override {
    constexpr std::uint64_t kPresent = std::uint64_t{1} << 63, kSwapped = std::uint64_t{1} << 62;
    if (pagemap_ < 0) return 0;
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    std::uint64_t words[512];
    while (low < high) {
      const std::uint64_t wanted = std::min<std::uint64_t>((high - low + page - 1) / page, std::size(words));
      const ssize_t got =
          pread(pagemap_, words, wanted * sizeof *words, static_cast<off_t>(low / page * sizeof *words));
      if (got < static_cast<ssize_t>(sizeof *words)) return 0;
      const auto end = words + static_cast<std::size_t>(got) / sizeof *words;
      const auto found =
          std::find_if(words, end, [](std::uint64_t word) { return (word & (kPresent | kSwapped)) != 0; });
      low += static_cast<std::uint64_t>(found - words) * page;
      if (found != end) return std::min(low, high);
    }
    return high;
  }

  bool live() const override { return true; }
  pid_t pid() const override { return pid_; }
  std::string name() const override { return absl::StrCat("process ", pid_); }
  std::optional<uid_t> owner() const override {
    struct stat status {};
    return stat(proc(pid_, "").c_str(), &status) == 0 ? std::optional(status.st_uid) : std::nullopt;
  }
  std::uint32_t thread_id(std::uint32_t tid) override {
    auto known = thread_ids_.find(tid);
    // The target chooses the ids, so an unknown id must not cost a walk through /proc each time.
    const auto now = std::chrono::steady_clock::now();
    if (known == thread_ids_.end() && (!ids_read_at_ || now - *ids_read_at_ > std::chrono::seconds(1))) {
      thread_ids_ = read_thread_ids(pid_);
      ids_read_at_ = now;
      known = thread_ids_.find(tid);
    }
    return known != thread_ids_.end() ? known->second : tid;  // otherwise it has ended
  }
  std::string thread_name(std::uint32_t tid) const override {
    return first_line(proc(pid_, absl::StrCat("task/", tid, "/comm")));
  }
  // "NUMBER ARGUMENTS... RSP RIP"; "running", or "-1" if it is blocked outside a system call (proc(5)).
  BlockedThread blocked_thread(std::uint32_t tid) const override {
    std::istringstream words(first_line(proc(pid_, absl::StrCat("task/", tid, "/syscall"))));
    long number = -1;
    if (!(words >> number) || number < 0) return {};
    BlockedThread blocked;
    blocked.number = number;
    words >> std::hex;
    for (std::uint64_t& each : blocked.arguments) words >> each;
    words >> blocked.sp >> blocked.pc;
    if (!words) return {};
    const runtime::CallName* const call = runtime::find_call(number);
    blocked.call = call != nullptr ? call->name : absl::StrCat("system call ", number);
    blocked.takes_fd = call != nullptr && call->takes_fd;
    if (blocked.takes_fd) {
      std::error_code unreadable;
      const auto fd = static_cast<std::int32_t>(blocked.arguments[0]);
      blocked.file = std::filesystem::read_symlink(proc(pid_, absl::StrCat("fd/", fd)), unreadable);
    }
    // "TID (NAME) STATE ..."; a name may have parentheses.
    const std::string status = first_line(proc(pid_, absl::StrCat("task/", tid, "/stat")));
    const std::size_t name_end = status.rfind(')');
    blocked.is_uninterruptible = name_end != std::string::npos && status.compare(name_end, 3, ") D") == 0;
    return blocked;
  }
  std::int64_t now_ns(std::int64_t) const override {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  }

 private:
  // A zombie has no memory and no modules, which looks like a program without aiofiber.
  void check_alive() const {
    const std::string status = first_line(proc(pid_, "stat"));
    const std::size_t name_end = status.rfind(')');
    if (status.empty()) throw no_process(pid_, true);
    if (name_end != std::string::npos && name_end + 2 < status.size() && status[name_end + 2] == 'Z') {
      throw Failure(
          Exit::kNoProcess,
          absl::StrCat("process ", pid_, " has ended (it is a zombie: its parent has not waited for it)"));
    }
  }

  // process_vm_readv(2). Where a sandbox forbids it (systemd's group @debug), the same by /proc/PID/mem, see
  // proc(5).
  ssize_t read_pieces(std::span<const iovec> local, std::span<const iovec> remote) {
    if (memory_ < 0) {
      const ssize_t got = process_vm_readv(pid_, local.data(), local.size(), remote.data(), remote.size(), 0);
      if (got >= 0 || (errno != EPERM && errno != ENOSYS)) return got;
      const int refusal = errno;
      memory_ = open(proc(pid_, "mem").c_str(), O_RDONLY | O_CLOEXEC);
      if (memory_ < 0) {
        errno = refusal;
        return -1;
      }
    }
    ssize_t total = 0;
    for (std::size_t i = 0; i < local.size(); ++i) {
      const ssize_t got = pread(memory_, local[i].iov_base, local[i].iov_len,
                                static_cast<off_t>(reinterpret_cast<std::uintptr_t>(remote[i].iov_base)));
      if (got > 0) total += got;
      if (got < static_cast<ssize_t>(local[i].iov_len)) break;
    }
    if (total > 0) return total;
    check_alive();
    errno = EFAULT;
    return -1;
  }

  Failure read_failure(int error) const {
    if (error == ESRCH) return no_process(pid_, true);
    if (error == EPERM || error == EACCES) return permission_failure(pid_);
    return {Exit::kInternal, "process_vm_readv: " + std::string(std::strerror(error))};
  }

  pid_t pid_;
  int memory_ = -1;  // /proc/PID/mem, if it is needed
  int pagemap_ = open(proc(pid_, "pagemap").c_str(), O_RDONLY | O_CLOEXEC);
  absl::flat_hash_map<std::uint32_t, std::uint32_t> thread_ids_;  // by the target's own ids
  std::optional<std::chrono::steady_clock::time_point> ids_read_at_;
};

}  // namespace

std::unique_ptr<Target> open_process(pid_t pid) { return std::make_unique<ProcessTarget>(pid); }

}  // namespace aiofiber::tool
