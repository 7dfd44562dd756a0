// SPDX-License-Identifier: Apache-2.0
//
// Each server of these tests starts, answers, stops and leaves nothing behind. After a kill it starts again
// on the same port.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "connected_socket.h"
#include "servers/servers.h"

namespace aiofiber::clients_test {
namespace {

bool listens(int port) { return ConnectedSocket(port).fd() >= 0; }

template <class ServerType>
class Servers : public testing::Test {};

using All = testing::Types<PostgresServer, RedisServer, HttpServer, MariaServer, MemcachedServer, SshServer>;
TYPED_TEST_SUITE(Servers, All);

// start() returns only when the server has answered in its own protocol.
TYPED_TEST(Servers, StartAnswerAndStop) {
  std::string folder;
  {
    TypeParam server;
    folder = server.folder();
    EXPECT_FALSE(listens(server.port()));
    server.start();
    EXPECT_TRUE(listens(server.port()));
    server.stop();
    EXPECT_FALSE(listens(server.port()));
  }
  EXPECT_FALSE(std::filesystem::exists(folder));
  EXPECT_TRUE(descendants_of(::getpid()).empty());
}

TYPED_TEST(Servers, ComeBackAfterTheyWereKilled) {
  TypeParam server;
  server.start();
  const int port = server.port();
  server.kill_now();
  server.start();
  EXPECT_EQ(server.port(), port);
  EXPECT_TRUE(listens(port));
}

TEST(FindProgram, NamesThePackageThatIsMissing) {
  try {
    find_program("/usr/bin/no-such-program", "some-package");
    FAIL() << "found a program that does not exist";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("some-package"), std::string::npos);
  }
}

}  // namespace
}  // namespace aiofiber::clients_test
