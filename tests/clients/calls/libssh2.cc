// SPDX-License-Identifier: Apache-2.0
//
// A login with a key, and a command run on the server.
#include "calls/client_calls.h"
#include "calls/ssh_session.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

class Libssh2Calls : public ClientCalls {
 public:
  Libssh2Calls() { libssh2_init(0); }
  const char* name() const override { return "libssh2"; }
  const char* functions() const override { return "`libssh2_session_handshake`, `libssh2_channel_read`"; }
  Server& server() override { return ssh(); }
  bool quick(int port) override { return SshSession(ssh(), port).run("echo hello") == "hello\n"; }
  void never(int port) override { SshSession(ssh(), port).run("sleep 3600"); }

 private:
  static SshServer& ssh() { return clients_test::server<SshServer>(); }
};

}  // namespace

std::unique_ptr<ClientCalls> libssh2_calls() { return std::make_unique<Libssh2Calls>(); }

}  // namespace aiofiber::clients_test
