// SPDX-License-Identifier: Apache-2.0
//
// A login with a key, and a command run on the server.
#include <string>

#include "calls/client_calls.h"
#include "calls/ssh_session.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

class Libssh2Connection : public KeptConnection {
 public:
  Libssh2Connection(const SshServer& server, int port) : session_(server, port) {}
  std::string ask(int number, int seconds) override {
    const std::string command = "sleep " + std::to_string(seconds) + "; echo " + std::to_string(number);
    const std::string output = session_.run(command.c_str());
    return output.substr(0, output.find('\n'));
  }

 private:
  SshSession session_;
};

class Libssh2Calls : public ClientCalls {
 public:
  Libssh2Calls() { libssh2_init(0); }
  const char* name() const override { return "libssh2"; }
  const char* functions() const override { return "`libssh2_session_handshake`, `libssh2_channel_read`"; }
  Server& server() override { return ssh(); }
  bool quick(int port) override { return SshSession(ssh(), port).run("echo hello") == "hello\n"; }
  void never(int port) override { SshSession(ssh(), port).run("sleep 3600"); }
  std::unique_ptr<KeptConnection> connect(int port) override {
    return std::make_unique<Libssh2Connection>(ssh(), port);
  }

 private:
  static SshServer& ssh() { return clients_test::server<SshServer>(); }
};

}  // namespace

std::unique_ptr<ClientCalls> libssh2_calls() { return std::make_unique<Libssh2Calls>(); }

}  // namespace aiofiber::clients_test
