// SPDX-License-Identifier: Apache-2.0
//
// A real server for the tests: on 127.0.0.1 and unix sockets only, with all its files in a temporary folder.
//
// start() returns when the server has answered in its own protocol, not when its port is open: PostgreSQL,
// for example, accepts connections that it then refuses. A killed server starts again on the same port. The
// calls block, so use them outside a loop; kill_now() may be called from a task.
#pragma once

#include <memory>
#include <string>

#include "servers/child_process.h"

namespace aiofiber::clients_test {

// A folder that is made here and removed at the end, readable for every user, since some servers change
// theirs.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& name);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }
  void give_to(const std::string& user) const;  // chown, if we are root

 private:
  std::string path_;
};

class Server {
 public:
  virtual ~Server() = default;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Errors: std::runtime_error with the last lines of the log if the server ends, or does not answer within
  // 60 s.
  void start();
  void stop();
  // The server and all its processes end now, in the middle of whatever they do.
  void kill_now();

  const std::string& name() const { return name_; }
  int port() const { return port_; }
  const std::string& folder() const { return folder_.path(); }

 protected:
  explicit Server(const std::string& name);

  virtual void prepare() {}             // once, before the first start
  virtual Program program() const = 0;  // log_file is filled in by start()
  virtual bool answers() const = 0;
  virtual int kill_signal() const;  // SIGKILL

  std::string log_file() const { return folder() + "/log"; }
  void give_folder_to(const std::string& user) const { folder_.give_to(user); }
  std::string write_file(const std::string& name, const std::string& text) const;  // in the folder; its path
  // Runs a tool of the server to its end. Error: std::runtime_error with the log's end.
  void run_tool(const std::string& user, std::vector<std::string> arguments) const;

 private:
  std::string log_end() const;

  std::string name_;
  TemporaryFolder folder_;
  int port_;
  bool prepared_ = false;
  std::unique_ptr<ChildProcess> process_;
};

// A port of 127.0.0.1 that nobody uses at the moment.
int free_port();

// Connects to 127.0.0.1, sends, and returns what comes within 2 s up to `enough` bytes; empty if there is no
// answer.
std::string ask(int port, const std::string& request, std::size_t enough);

// The newest file of that name in a folder that has a version in its path, such as
// /usr/lib/postgresql/VERSION/bin/initdb. Error: std::runtime_error that names the package.
std::string find_program(const std::string& path, const std::string& package);

}  // namespace aiofiber::clients_test
