// SPDX-License-Identifier: Apache-2.0
//
// The common life of a server: folder, port, start, readiness.
#include "servers/server.h"

#include <arpa/inet.h>
#include <glob.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace aiofiber::clients_test {

namespace {

using namespace std::chrono_literals;

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

TemporaryFolder::TemporaryFolder(const std::string& name)
    : path_((std::filesystem::temp_directory_path() / ("aiofiber-" + name + "-XXXXXX")).string()) {
  if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("cannot make the folder " + path_);
  ::chmod(path_.c_str(), 0755);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void TemporaryFolder::give_to(const std::string& user) const {
  const passwd* entry = ::geteuid() == 0 ? ::getpwnam(user.c_str()) : nullptr;
  if (entry != nullptr && ::chown(path_.c_str(), entry->pw_uid, entry->pw_gid) != 0) {
    throw std::runtime_error("cannot give " + path_ + " to " + user);
  }
}

Server::Server(const std::string& name) : name_(name), folder_(name), port_(free_port()) {}

int Server::kill_signal() const { return SIGKILL; }

void Server::start() {
  if (process_ != nullptr && process_->is_running()) stop();
  if (!prepared_) prepare();
  prepared_ = true;
  Program what = program();
  what.log_file = log_file();
  process_ = std::make_unique<ChildProcess>(what);
  const auto give_up_at = std::chrono::steady_clock::now() + 60s;
  while (!answers()) {
    if (!process_->is_running()) throw std::runtime_error(name_ + " ended at its start: " + log_end());
    if (std::chrono::steady_clock::now() > give_up_at) {
      throw std::runtime_error(name_ + " does not answer: " + log_end());
    }
    std::this_thread::sleep_for(10ms);
  }
}

void Server::stop() {
  if (process_ != nullptr) process_->stop();
}

void Server::kill_now() {
  if (process_ != nullptr) process_->kill_now(kill_signal());
}

std::string Server::write_file(const std::string& name, const std::string& text) const {
  const std::string path = folder() + "/" + name;
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
  return path;
}

void Server::run_tool(const std::string& user, std::vector<std::string> arguments) const {
  const std::string tool = arguments.at(0);
  if (!run_to_end({std::move(arguments), user, log_file(), SIGTERM})) {
    throw std::runtime_error(tool + " failed: " + log_end());
  }
}

std::string Server::log_end() const {
  std::ifstream file(log_file());
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  return text.size() > 2000 ? "..." + text.substr(text.size() - 2000) : text;
}

int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  const bool bound = fd >= 0 && ::bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0 &&
                     ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0;
  if (fd >= 0) ::close(fd);
  if (!bound) throw std::runtime_error("found no free port on 127.0.0.1");
  return ntohs(address.sin_port);
}

std::string ask(int port, const std::string& request, std::size_t enough) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return {};
  const timeval limit{2, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  const sockaddr_in address = loopback(port);
  std::string answer;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      ::send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
    char piece[512];
    ssize_t length;
    while (answer.size() < enough && (length = ::recv(fd, piece, sizeof piece, 0)) > 0) {
      answer.append(piece, static_cast<std::size_t>(length));
    }
  }
  ::close(fd);
  return answer;
}

std::string find_program(const std::string& path, const std::string& package) {
  glob_t found{};
  std::string last;
  if (::glob(path.c_str(), 0, nullptr, &found) == 0) last = found.gl_pathv[found.gl_pathc - 1];
  ::globfree(&found);
  if (last.empty()) {
    throw std::runtime_error("there is no " + path + ": install the Debian package " + package +
                             " (tools/setup clients installs all that these tests need)");
  }
  return last;
}

}  // namespace aiofiber::clients_test
