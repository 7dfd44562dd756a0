// SPDX-License-Identifier: Apache-2.0
//
// Checks the options, finds the paths to try, makes the pipes, and puts an error of the child into words.
#include "subprocess/spawn.h"

#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <system_error>

#include "aiofiber/runtime/engine/exec_child.h"
#include "aiofiber/runtime/engine/process_syscall.h"
#include "aiofiber/runtime/engine/socket_syscall.h"
#include "core/text.h"

extern "C" char** environ;

namespace aiofiber {

namespace sys = runtime::sys;
using subprocess::Redirect;

namespace detail {

namespace {

[[noreturn]] void throw_errno(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

void check_no_nul(std::string_view text, const char* what) {
  if (text.find('\0') != std::string_view::npos)
    throw ValueError(absl::StrCat("embedded null byte in ", what, ": the kernel would cut the text there"));
}

bool has_name(std::string_view entry, std::string_view name) noexcept {
  return entry.size() > name.size() && entry.substr(0, name.size()) == name && entry[name.size()] == '=';
}

// PATH of the child's environment, else what Python and execvp(3) take.
std::string_view search_path(const SubprocessOptions& options) {
  constexpr std::string_view kDefault = "/bin:/usr/bin";
  if (options.env) return options.env->get("PATH").value_or(kDefault);
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    if (has_name(*entry, "PATH")) return std::string_view(*entry).substr(5);
  }
  return kDefault;
}

std::vector<std::string> paths_to_try(const std::string& program, const SubprocessOptions& options) {
  if (program.empty() || program.find('/') != std::string::npos) return {program};
  std::vector<std::string> paths;
  std::string_view rest = search_path(options);
  for (;;) {
    const std::size_t end = rest.find(':');
    const std::string_view folder = rest.substr(0, end);  // empty: the current folder
    const bool joins = !folder.empty() && folder.back() != '/';
    paths.push_back(absl::StrCat(std::string(folder), joins ? "/" : "", program));
    if (end == std::string_view::npos) return paths;
    rest.remove_prefix(end + 1);
  }
}

// A list that ends with null, as execve(2) wants it.
std::vector<const char*> pointers(const std::vector<std::string>& texts) {
  std::vector<const char*> list;
  list.reserve(texts.size() + 1);
  for (const std::string& text : texts) list.push_back(text.c_str());
  list.push_back(nullptr);
  return list;
}

struct Pipe {
  Descriptor read;
  Descriptor write;
};

// The ends have numbers above 2, also if the program has closed its own stdin or stdout: nothing that prints
// must get into a pipe.
Pipe make_pipe() {
  int ends[2];
  if (sys::pipe(ends, O_CLOEXEC) != 0) throw_errno(errno, "cannot make a pipe to a child process");
  Pipe pipe{Descriptor(ends[0]), Descriptor(ends[1])};
  for (Descriptor* end : {&pipe.read, &pipe.write}) {
    if (end->fd() > 2) continue;
    const int moved = sys::duplicate(end->fd(), 3);
    if (moved < 0) throw_errno(errno, "cannot make a pipe to a child process");
    end->reset(moved);
  }
  return pipe;
}

// Makes what the three streams need.
class Streams {
 public:
  Streams(const SubprocessOptions& options, Spawned& spawned) {
    const Redirect* const wanted[] = {&options.stdin_, &options.stdout_, &options.stderr_};
    Descriptor* const ours[] = {&spawned.stdin_, &spawned.stdout_, &spawned.stderr_};
    for (std::size_t i = 0; i < 3; ++i) {
      if (wanted[i]->kind() == Redirect::Kind::kStdout && i != 2)
        throw ValueError("subprocess::STDOUT is for stderr_ only: it means the place where stdout goes");
    }
    for (std::size_t i = 0; i < 3; ++i) numbers[i] = open(*wanted[i], i, *ours[i]);
  }
  int numbers[3];

 private:
  int open(const Redirect& wanted, std::size_t i, Descriptor& ours) {
    switch (wanted.kind()) {
      case Redirect::Kind::kInherit:
        break;
      case Redirect::Kind::kPipe: {
        Pipe pipe = make_pipe();
        childs_[i] = std::move(i == 0 ? pipe.read : pipe.write);
        ours = std::move(i == 0 ? pipe.write : pipe.read);
        if (sys::set_nonblocking(ours.fd()) != 0)
          throw_errno(errno, "cannot prepare a pipe to a child process");
        return childs_[i].fd();
      }
      case Redirect::Kind::kNull:
        if (null_.fd() < 0) null_.reset(sys::open("/dev/null", O_RDWR));
        if (null_.fd() < 0) throw_errno(errno, "cannot open '/dev/null'");
        return null_.fd();
      case Redirect::Kind::kStdout:
        return numbers[1] >= 0 ? numbers[1] : 1;
      case Redirect::Kind::kDescriptor:
        if (!sys::is_open(wanted.fd()))
          throw_errno(EBADF, absl::StrCat("cannot redirect to file descriptor ", wanted.fd()));
        return wanted.fd();
    }
    return -1;
  }

  Descriptor childs_[3];  // closed here once the child has its own
  Descriptor null_;
};

std::vector<int> passed_descriptors(const SubprocessOptions& options) {
  std::vector<int> passed = options.pass_fds;
  for (const int fd : passed) {
    if (fd < 0) throw ValueError(absl::StrCat("pass_fds has the negative number ", fd));
  }
  std::sort(passed.begin(), passed.end());
  passed.erase(std::unique(passed.begin(), passed.end()), passed.end());
  // The first three are the child's streams in any case.
  passed.erase(passed.begin(), std::upper_bound(passed.begin(), passed.end(), 2));
  return passed;
}

// The entry of a user or a group with this name. `find`: getpwnam_r or getgrnam_r.
template <class Entry, class Find>
Entry* entry_of(const std::string& name, const char* what, Entry& entry, std::vector<char>& memory,
                Find find) {
  constexpr std::size_t kMost = std::size_t{16} << 20;  // a group may have very many members
  check_no_nul(name, what);
  for (memory.resize(4096);; memory.resize(2 * memory.size())) {
    Entry* found = nullptr;
    const int error = find(name.c_str(), &entry, memory.data(), memory.size(), &found);
    if (error == EINTR || (error == ERANGE && memory.size() < kMost)) continue;
    if (found != nullptr) return found;
    // Some systems say so for a name that is not there.
    if (error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM)
      throw ValueError(absl::StrCat("there is no ", what, " ", quote(name)));
    throw_errno(error, absl::StrCat("cannot look up the ", what, " ", quote(name)));
  }
}

unsigned number_of(const subprocess::Account& account, const char* what) {
  // The kernel takes the greatest one for "leave it as it is".
  if (account.number() < 0 || account.number() >= std::numeric_limits<unsigned>::max())
    throw ValueError(absl::StrCat("the number of a ", what, " is from 0 to 4294967294, and ",
                                  account.number(), " is not"));
  return static_cast<unsigned>(account.number());
}

uid_t user_id(const subprocess::Account& account) {
  if (!account.name()) return number_of(account, "user");
  passwd entry{};
  std::vector<char> memory;
  return entry_of(*account.name(), "user", entry, memory, ::getpwnam_r)->pw_uid;
}

gid_t group_id(const subprocess::Account& account) {
  if (!account.name()) return number_of(account, "group");
  group entry{};
  std::vector<char> memory;
  return entry_of(*account.name(), "group", entry, memory, ::getgrnam_r)->gr_gid;
}

// The rights of the child, looked up.
struct Rights {
  explicit Rights(const SubprocessOptions& options) {
    if (options.extra_groups) {
      for (const subprocess::Account& extra : *options.extra_groups) groups.push_back(group_id(extra));
    }
    if (options.group) group = group_id(*options.group);
    if (options.user) user = user_id(*options.user);
  }
  std::vector<gid_t> groups;
  std::optional<gid_t> group;
  std::optional<uid_t> user;
};

std::string show(const std::optional<subprocess::Account>& account) {
  if (!account) return {};
  return account->name() ? quote(*account->name()) : absl::StrCat(account->number());
}

[[noreturn]] void throw_failure(const runtime::ExecResult& result, const std::string& program,
                                const SubprocessOptions& options, const std::vector<int>& passed) {
  using runtime::ChildStep;
  switch (result.failed) {
    case ChildStep::kExec:
      throw_errno(result.error, absl::StrCat("cannot execute ", quote(program)));
    case ChildStep::kDirectory:
      throw_errno(result.error, absl::StrCat("cannot change to the directory ", quote(options.cwd)));
    case ChildStep::kStreams:
      throw_errno(result.error, absl::StrCat("cannot set descriptor ", result.place, " of a child process"));
    case ChildStep::kPassed:
      throw_errno(result.error, absl::StrCat("cannot pass file descriptor ", passed[result.place]));
    case ChildStep::kLimit:
      throw_errno(result.error,
                  absl::StrCat("cannot set resource limit ", options.limits[result.place].resource));
    case ChildStep::kSession:
      throw_errno(result.error, "cannot start a new session for a child process");
    case ChildStep::kGroup:
      throw_errno(result.error,
                  absl::StrCat("cannot put a child into process group ", options.process_group.value_or(-1)));
    case ChildStep::kGroups:
      throw_errno(result.error, "cannot set the extra_groups of a child process");
    case ChildStep::kGroupId:
      throw_errno(result.error,
                  absl::StrCat("cannot run a child process with the group ", show(options.group)));
    case ChildStep::kUserId:
      throw_errno(result.error, absl::StrCat("cannot run a child process as the user ", show(options.user)));
    case ChildStep::kClone:
    case ChildStep::kNone:
      break;
  }
  throw_errno(result.error, "cannot make a child process");
}

}  // namespace

Spawned spawn(const std::vector<std::string>& argv, const SubprocessOptions& options) {
  if (argv.empty()) throw ValueError("the arguments are empty: give at least the name of the program");
  for (const std::string& argument : argv) check_no_nul(argument, "an argument");
  check_no_nul(options.executable, "the name of the program");
  check_no_nul(options.cwd, "cwd");
  if (options.process_group && *options.process_group < 0)
    throw ValueError("process_group is negative: give 0 for a new group, or the id of a group");
  const std::string& program = options.executable.empty() ? argv[0] : options.executable;
  const std::vector<std::string> path_texts = paths_to_try(program, options);
  const std::vector<const char*> paths = pointers(path_texts);
  const std::vector<const char*> arguments = pointers(argv);
  const std::vector<const char*> variables =
      options.env ? pointers(options.env->entries()) : std::vector<const char*>{nullptr};
  const std::vector<int> passed = passed_descriptors(options);
  std::vector<runtime::ChildLimit> limits;
  for (const subprocess::ResourceLimit& limit : options.limits)
    limits.push_back({limit.resource, limit.value});
  const Rights rights(options);

  Spawned spawned;
  const Streams streams(options, spawned);
  runtime::ChildPlan plan{.paths = paths.data(),
                          .argv = arguments.data(),
                          .environment = options.env || environ == nullptr ? variables.data() : environ};
  plan.directory = options.cwd.empty() ? nullptr : options.cwd.c_str();
  std::copy(std::begin(streams.numbers), std::end(streams.numbers), plan.streams);
  plan.passed = passed.data();
  plan.passed_count = passed.size();
  plan.closes_others = options.close_fds;
  plan.default_signals = options.restore_signals;
  plan.new_session = options.start_new_session;
  plan.process_group = options.process_group.value_or(-1);
  plan.mask = options.umask ? static_cast<int>(*options.umask & 0777) : -1;
  plan.limits = limits.data();
  plan.limit_count = limits.size();
  plan.sets_groups = options.extra_groups.has_value();
  plan.groups = rights.groups.data();
  plan.group_count = rights.groups.size();
  plan.group_id = rights.group;
  plan.user_id = rights.user;
  const runtime::ExecResult result = runtime::exec_child(plan);
  if (result.failed != runtime::ChildStep::kNone) throw_failure(result, program, options, passed);
  spawned.pid = result.pid;
  spawned.pidfd.reset(result.pidfd);
  return spawned;
}

}  // namespace detail

namespace subprocess {

Environment Environment::current() {
  Environment copy;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry)
    copy.entries_.emplace_back(*entry);
  return copy;
}

Environment::Environment(std::initializer_list<std::pair<std::string_view, std::string_view>> variables) {
  for (const auto& [name, value] : variables) set(name, value);
}

std::vector<std::string>::iterator Environment::find(std::string_view name) noexcept {
  return std::find_if(entries_.begin(), entries_.end(),
                      [&](const std::string& entry) { return detail::has_name(entry, name); });
}

void Environment::set(std::string_view name, std::string_view value) {
  if (name.find('=') != std::string_view::npos)
    throw ValueError(
        absl::StrCat("illegal environment variable name ", detail::quote(name), ": it has a '='"));
  detail::check_no_nul(name, "an environment variable's name");
  detail::check_no_nul(value, "an environment variable");
  std::string text = absl::StrCat(std::string(name), "=", std::string(value));
  if (const auto found = find(name); found != entries_.end()) {
    *found = std::move(text);
  } else {
    entries_.push_back(std::move(text));
  }
}

bool Environment::unset(std::string_view name) noexcept {
  const auto found = find(name);
  if (found == entries_.end()) return false;
  entries_.erase(found);
  return true;
}

std::optional<std::string_view> Environment::get(std::string_view name) const noexcept {
  for (const std::string& entry : entries_) {
    if (detail::has_name(entry, name)) return std::string_view(entry).substr(name.size() + 1);
  }
  return std::nullopt;
}

}  // namespace subprocess
}  // namespace aiofiber
