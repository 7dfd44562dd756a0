// SPDX-License-Identifier: Apache-2.0
//
// All code between fork and exec is in become(), which makes only system calls. Users and groups are looked
// up before, because another thread may hold the locks of such look-ups at the fork.
#include "servers/child_process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace aiofiber::clients_test {

namespace {

using namespace std::chrono_literals;

[[noreturn]] void give_up(const char* step) {
  std::fprintf(stderr, "could not start: %s: %s\n", step, std::strerror(errno));
  ::_exit(127);
}

std::vector<gid_t> groups_of(const passwd& user) {
  std::vector<gid_t> groups(16);
  int count = static_cast<int>(groups.size());
  while (::getgrouplist(user.pw_name, user.pw_gid, groups.data(), &count) < 0) {
    groups.resize(std::max(static_cast<std::size_t>(count), 2 * groups.size()));
    count = static_cast<int>(groups.size());
  }
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

// In the child. The death signal comes after the change of user, which clears it.
[[noreturn]] void become(const Program& program, const passwd* user, const std::vector<gid_t>& groups,
                         pid_t parent, char* const* arguments) {
  ::setpgid(0, 0);
  const int log = ::open(program.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (log < 0 || nothing < 0) give_up(program.log_file.c_str());
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::close_range(3, ~0u, 0);  // our sockets and pipes are none of the server's business
  if (user != nullptr && (::setgroups(groups.size(), groups.data()) != 0 || ::setgid(user->pw_gid) != 0 ||
                          ::setuid(user->pw_uid) != 0)) {
    give_up("change of user");
  }
  ::prctl(PR_SET_PDEATHSIG, program.stop_signal);
  if (::getppid() != parent) ::_exit(127);  // it died before the line above
  ::execv(arguments[0], arguments);
  give_up(arguments[0]);
}

// The parent of a process, from /proc; -1 if there is none any more.
pid_t parent_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text,
               '\0');  // all of it; a process that ends meanwhile is an error here, not an exception
  const std::size_t end_of_name = text.rfind(')');
  if (end_of_name == std::string::npos) return -1;
  char state;
  int parent = -1;
  return std::sscanf(text.c_str() + end_of_name + 1, " %c %d", &state, &parent) == 2 ? parent : -1;
}

}  // namespace

ChildProcess::ChildProcess(const Program& program) : stop_signal_(program.stop_signal) {
  const passwd* user = nullptr;
  if (!program.user.empty() && ::geteuid() == 0) {
    user = ::getpwnam(program.user.c_str());
    if (user == nullptr) {
      throw std::runtime_error("there is no user '" + program.user + "': install the package of " +
                               program.arguments.at(0) + " (tools/setup clients)");
    }
  }
  const std::vector<gid_t> groups = user != nullptr ? groups_of(*user) : std::vector<gid_t>{};
  std::vector<char*> arguments;
  for (const std::string& argument : program.arguments)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
  if (pid_ == 0) become(program, user, groups, parent, arguments.data());
}

ChildProcess::~ChildProcess() { stop(); }

bool ChildProcess::is_running() {
  if (pid_ < 0) return false;
  if (::waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
  return pid_ >= 0;
}

void ChildProcess::stop() {
  if (!is_running()) return;
  ::kill(pid_, stop_signal_);
  const auto give_up_at = std::chrono::steady_clock::now() + 10s;
  while (is_running()) {
    if (std::chrono::steady_clock::now() > give_up_at) {
      kill_now(SIGKILL);
      wait();
      return;
    }
    std::this_thread::sleep_for(5ms);
  }
}

void ChildProcess::kill_now(int signo) {
  if (pid_ < 0) return;
  const std::vector<pid_t> others = descendants_of(pid_);
  ::kill(pid_, signo);
  for (const pid_t other : others) ::kill(other, signo);
}

int ChildProcess::wait() {
  int status = 0;
  while (pid_ >= 0 && ::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool run_to_end(const Program& program) { return ChildProcess(program).wait() == 0; }

std::vector<pid_t> descendants_of(pid_t pid) {
  std::vector<std::pair<pid_t, pid_t>> all;  // process, parent
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    all.emplace_back(std::stoi(name), parent_of(std::stoi(name)));
  }
  std::vector<pid_t> found;
  std::vector<pid_t> look_at{pid};
  for (std::size_t i = 0; i < look_at.size(); ++i) {
    for (const auto& [process, parent] : all) {
      if (parent != look_at[i]) continue;
      found.push_back(process);
      look_at.push_back(process);
    }
  }
  return found;
}

}  // namespace aiofiber::clients_test
