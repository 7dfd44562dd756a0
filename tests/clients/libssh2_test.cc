// SPDX-License-Identifier: Apache-2.0
//
// libssh2 in tasks. A login costs the server a process and tens of milliseconds of CPU time. The test
// therefore opens the hundred sessions first and measures only the hundred commands of a second each.
#include <vector>

#include "calls/ssh_session.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

class Libssh2 : public ClientTest<SshServer> {
 protected:
  static void SetUpTestSuite() {
    libssh2_init(0);
    ClientTest::SetUpTestSuite();
  }
};

TEST_F(Libssh2, RunsAHundredCommandsAtOnce) {
  std::vector<std::unique_ptr<SshSession>> sessions(100);
  EXPECT_ALL(100, concurrently(100, [&](int i) {
               const SshServer& ssh = server<SshServer>();
               sessions[static_cast<std::size_t>(i)] = std::make_unique<SshSession>(ssh, ssh.port());
               return sessions[static_cast<std::size_t>(i)]->ready();
             }));
  EXPECT_OVERLAPPING(100, concurrently(100, [&](int i) {
                       const std::string command = "sleep 1; echo " + std::to_string(i);
                       return sessions[static_cast<std::size_t>(i)]->run(command.c_str()) ==
                              std::to_string(i) + "\n";
                     }));
  concurrently(100, [&](int i) { return sessions[static_cast<std::size_t>(i)].reset(), true; });
}

TEST_F(Libssh2, ReceivesAMegabyte) {
  EXPECT_ALL(4, concurrently(4, [](int) {
               const SshServer& ssh = server<SshServer>();
               return SshSession(ssh, ssh.port()).run("head -c 1000000 /dev/zero | tr '\\0' z") ==
                      std::string(1'000'000, 'z');
             }));
}

}  // namespace
}  // namespace aiofiber::clients_test
