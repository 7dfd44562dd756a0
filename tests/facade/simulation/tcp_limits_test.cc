// SPDX-License-Identifier: Apache-2.0
//
// How long a simulated connection believes in a silent peer: what programs ask for by TCP_SYNCNT,
// TCP_USER_TIMEOUT and SO_KEEPALIVE ends it to the second.
//
// Labels: long
#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include <chrono>
#include <functional>
#include <string>

#include "aiofiber/simulation.h"
#include "facade/simulation/blocking_code.h"
#include "facade/simulation/datagram_code.h"

namespace aiofiber::testing::test {
namespace {

using namespace std::chrono_literals;

struct TcpLimits : ::testing::Test {
  Simulation sim{{.seed = 42}};
  Node server = sim.node("server");
  Node client = sim.node("client");

  TcpLimits() { sim.link("server", "client", {.latency = fixed(10ms)}); }
};

int set(const Fd& fd, int level, int option, int value) {
  return ::setsockopt(fd.get(), level, option, &value, sizeof value) == 0 ? 0 : errno;
}
// Probes after a minute, three of them, ten seconds apart.
void keep_alive(const Fd& fd) {
  EXPECT_EQ(set(fd, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
  EXPECT_EQ(set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60), 0);
  EXPECT_EQ(set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10), 0);
  EXPECT_EQ(set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3), 0);
}
int seconds_since(std::chrono::steady_clock::time_point begin) {
  return static_cast<int>(
      std::chrono::round<std::chrono::seconds>(std::chrono::steady_clock::now() - begin).count());
}
// Accepts connections and says nothing.
void silent_server() {
  const Fd listener = listen_on(7);
  const Fd first(::accept(listener.get(), nullptr, nullptr));
  receive(first);
  ::sleep(1'000'000);
}

// The error of a connect to nowhere, and its seconds.
std::string failed_connect(Simulation& sim, Node& client, int option, int value) {
  std::string result;
  sim.partition("server", "client");
  client.run([&] {
    const Fd socket(::socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(set(socket, IPPROTO_TCP, option, value), 0);
    const auto begin = std::chrono::steady_clock::now();
    const sockaddr_in to = inet("10.0.0.1", 7);
    const int error = ::connect(socket.get(), generic(to), sizeof to) == 0 ? 0 : errno;
    result = error_text(error) + " after " + std::to_string(seconds_since(begin)) + " s";
  });
  sim.run_for(1h);
  return result;
}

TEST_F(TcpLimits, SynCountEndsAnAttempt) {
  EXPECT_EQ(failed_connect(sim, client, TCP_SYNCNT, 1), error_text(ETIMEDOUT) + " after 3 s");
}
TEST_F(TcpLimits, SynCountCanBeLarger) {
  EXPECT_EQ(failed_connect(sim, client, TCP_SYNCNT, 7), error_text(ETIMEDOUT) + " after 247 s");
}
TEST_F(TcpLimits, UserTimeoutEndsAnAttempt) {
  EXPECT_EQ(failed_connect(sim, client, TCP_USER_TIMEOUT, 5000), error_text(ETIMEDOUT) + " after 5 s");
}

TEST_F(TcpLimits, UserTimeoutEndsAConnectionThatSends) {
  std::string result;
  server.run(silent_server);
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    EXPECT_EQ(set(connection, IPPROTO_TCP, TCP_USER_TIMEOUT, 10'000), 0);
    ::sleep(100);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_TRUE(send_text(connection, "lost"));
    const std::string received = receive(connection);
    result = received + " after " + std::to_string(seconds_since(begin)) + " s";
  });
  sim.at(50s, [&] { sim.partition("server", "client"); });
  sim.run_for(1h);
  EXPECT_EQ(result, error_text(ETIMEDOUT) + " after 10 s");
}

TEST_F(TcpLimits, UserTimeoutBeginsAnewWithEachSuccess) {
  std::string result = "waits";
  server.run(silent_server);
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    EXPECT_EQ(set(connection, IPPROTO_TCP, TCP_USER_TIMEOUT, 10'000), 0);
    for (int i = 0; i < 5; ++i) {
      ::sleep(20);
      EXPECT_TRUE(send_text(connection, "late"));
    }
    result = receive(connection);
  });
  for (int i = 1; i <= 5; ++i) {
    sim.at(Duration(i * 20s), [&] { sim.partition("server", "client"); });
    sim.at(Duration(i * 20s + 6s), [&] { sim.heal(); });
  }
  sim.run_for(1h);
  EXPECT_EQ(result, "waits");
}

// What an idle client with SO_KEEPALIVE reads in the end, and when: seconds after it was connected.
struct IdleClient {
  std::string result = "waits";
  void operator()() {
    const Fd connection = connect_to("server", 7);
    keep_alive(connection);
    const auto begin = std::chrono::steady_clock::now();
    const std::string received = receive(connection);
    result = received + " after " + std::to_string(seconds_since(begin)) + " s";
  }
};

TEST_F(TcpLimits, KeepAliveFindsALostMachine) {
  IdleClient idle;
  server.run(silent_server);
  client.run(std::ref(idle));
  sim.at(30s, [&] { server.crash(); });
  sim.run_for(24h);
  EXPECT_EQ(idle.result, error_text(ETIMEDOUT) + " after 90 s");  // three probes, and ten seconds
}

TEST_F(TcpLimits, KeepAliveFindsAMachineThatHasForgotten) {
  IdleClient idle;
  server.run(silent_server);
  client.run(std::ref(idle));
  sim.at(30s, [&] { server.crash(); });
  sim.at(40s, [&] { server.restart(); });
  sim.run_for(24h);
  EXPECT_EQ(idle.result, error_text(ECONNRESET) + " after 60 s");
}

TEST_F(TcpLimits, KeepAliveBearsWithLostProbes) {
  IdleClient idle;
  server.run(silent_server);
  client.run(std::ref(idle));
  for (int i = 1; i < 100; ++i) {
    sim.at(Duration(i * 60s), [&] { sim.partition("server", "client"); });
    sim.at(Duration(i * 60s + 15s), [&] { sim.heal(); });
  }
  sim.run_for(1h);
  EXPECT_EQ(idle.result, "waits");
}

TEST_F(TcpLimits, KeepAliveLeavesAQuietPeerAlone) {
  IdleClient idle;
  server.run(silent_server);
  client.run(std::ref(idle));
  sim.at(30s, [&] { server.pause(); });  // its kernel answers
  sim.run_for(24h * 30);
  EXPECT_EQ(idle.result, "waits");
}

TEST_F(TcpLimits, AcceptedConnectionHasTheOptionsOfItsListener) {
  std::string result;
  int inherited = 0;
  server.run([&] {
    const Fd listener = listen_on(7);
    keep_alive(listener);
    const Fd connection(::accept(listener.get(), nullptr, nullptr));
    socklen_t length = sizeof inherited;
    ::getsockopt(connection.get(), SOL_SOCKET, SO_KEEPALIVE, &inherited, &length);
    const auto begin = std::chrono::steady_clock::now();
    const std::string received = receive(connection);
    result = received + " after " + std::to_string(seconds_since(begin)) + " s";
  });
  client.run([] {
    const Fd connection = connect_to("server", 7);
    receive(connection);
  });
  sim.at(30s, [&] { client.crash(); });
  sim.run_for(24h);
  EXPECT_EQ(inherited, 1);
  EXPECT_EQ(result, error_text(ETIMEDOUT) + " after 90 s");
}

TEST_F(TcpLimits, WithoutKeepAliveIdlenessIsForEver) {
  bool ended = false;
  server.run(silent_server);
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    receive(connection);
    ended = true;
  });
  sim.at(30s, [&] { server.crash(); });
  sim.run_for(24h);
  EXPECT_FALSE(ended);
}

TEST_F(TcpLimits, BadValuesAreRefused) {
  client.run([] {
    const Fd socket(::socket(AF_INET, SOCK_STREAM, 0));
    for (const int option : {TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT}) {
      EXPECT_EQ(set(socket, IPPROTO_TCP, option, 0), EINVAL);
      EXPECT_EQ(set(socket, IPPROTO_TCP, option, 40'000), EINVAL);
    }
    EXPECT_EQ(set(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, -1), EINVAL);
  });
  sim.run_for(1s);
}

}  // namespace
}  // namespace aiofiber::testing::test
