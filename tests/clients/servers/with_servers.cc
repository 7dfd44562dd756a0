// SPDX-License-Identifier: Apache-2.0
//
// with_servers NAME... -- COMMAND ARGUMENT...: starts servers, puts their addresses into the command's
// environment, runs the command, stops the servers, and ends with the command's exit code. For programs and
// scripts that cannot use the classes.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "servers/servers.h"

namespace {

using namespace aiofiber::clients_test;

pid_t command_pid = 0;

// A signal that asks us to end is the command's; when it has ended, so do we.
void pass_on(int signo) {
  if (command_pid > 0) ::kill(command_pid, signo);
}

std::unique_ptr<Server> make_server(const std::string& name) {
  if (name == "postgres") return std::make_unique<PostgresServer>();
  if (name == "redis") return std::make_unique<RedisServer>();
  if (name == "http") return std::make_unique<HttpServer>();
  if (name == "maria") return std::make_unique<MariaServer>();
  if (name == "memcached") return std::make_unique<MemcachedServer>();
  if (name == "ssh") return std::make_unique<SshServer>();
  return nullptr;
}

void set(const std::string& name, const std::string& value) { ::setenv(name.c_str(), value.c_str(), 1); }

void tell_environment(const Server& server) {
  if (auto* postgres = dynamic_cast<const PostgresServer*>(&server))
    set("POSTGRES_CONNINFO", postgres->conninfo());
  if (dynamic_cast<const RedisServer*>(&server) != nullptr) set("REDIS_PORT", std::to_string(server.port()));
  if (auto* http = dynamic_cast<const HttpServer*>(&server)) set("HTTP_URL", http->url(""));
  if (dynamic_cast<const MariaServer*>(&server) != nullptr) set("MARIA_PORT", std::to_string(server.port()));
  if (dynamic_cast<const MemcachedServer*>(&server) != nullptr)
    set("MEMCACHED_PORT", std::to_string(server.port()));
  if (dynamic_cast<const SshServer*>(&server) != nullptr) set("SSH_PORT", std::to_string(server.port()));
}

int run_command(char** command) {
  command_pid = ::fork();
  if (command_pid == 0) {
    ::execvp(command[0], command);
    std::cerr << "with_servers: cannot run " << command[0] << '\n';
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(command_pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int usage() {
  std::cerr << "usage: with_servers NAME... -- COMMAND ARGUMENT...\n"
               "NAME: postgres redis http maria memcached ssh\n";
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::unique_ptr<Server>> servers;
  int next = 1;
  try {
    for (; next < argc && std::string(argv[next]) != "--"; ++next) {
      servers.push_back(make_server(argv[next]));
      if (servers.back() == nullptr) return usage();
    }
    if (servers.empty() || next + 1 >= argc) return usage();
    for (const int signo : {SIGTERM, SIGINT, SIGHUP}) ::signal(signo, pass_on);
    for (const auto& server : servers) {
      server->start();
      tell_environment(*server);
    }
    return run_command(argv + next + 1);
  } catch (const std::exception& error) {
    std::cerr << "with_servers: " << error.what() << '\n';
    return 1;
  }
}
