// SPDX-License-Identifier: Apache-2.0
//
// While a simulation exists, code outside its nodes has no network: a real server is never used in silence.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <resolv.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "aiofiber/await.h"
#include "aiofiber/hooks.h"
#include "aiofiber/log.h"
#include "aiofiber/runner.h"
#include "aiofiber/simulation.h"
#include "aiofiber/streams.h"
#include "facade/simulation/blocking_code.h"

namespace aiofiber::testing::test {
namespace {

using namespace std::chrono_literals;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// 0: connected; else the errno.
int connect_error(std::uint16_t port) {
  const sockaddr_in address = loopback(port);
  const Fd fd(::socket(AF_INET, SOCK_STREAM, 0));
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

int look_up(const char* name) {
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(name, "80", nullptr, &list);
  if (error == 0) ::freeaddrinfo(list);
  return error;
}

// In a node the join must block: simulated time does not wait for a thread.
void on_thread(const std::function<void()>& fn) {
  const hooks::Disable disabled;
  std::thread(fn).join();
}

// A server of the real network, made before the simulation; and what the log says.
class RealServer : public ::testing::Test {
 protected:
  RealServer() : listener_(listen_on(0)) {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    set_log_sink([this](LogLevel, std::string_view text) { log_.emplace_back(text); });
  }
  ~RealServer() override { set_log_sink(nullptr); }

  Fd listener_;
  std::uint16_t port_ = 0;
  std::vector<std::string> log_;  // the threads of these tests run one at a time
};

TEST_F(RealServer, IsNotReachedByAThreadOfAProgram) {
  Simulation sim;
  int error = 0;
  sim.node("client").run([&] { on_thread([&] { error = connect_error(port_); }); });
  sim.run_for(1s);
  EXPECT_EQ(error, ENETUNREACH);
}

TEST_F(RealServer, IsNotReachedByTheTestNorByALoopOfItsOwn) {
  const Simulation sim;
  EXPECT_EQ(connect_error(port_), ENETUNREACH);
  int of_hook = 0;
  int of_stream = 0;
  on_thread([&] {
    aiofiber::run([&] {
      of_hook = connect_error(port_);
      try {
        await(open_connection("127.0.0.1", port_));
      } catch (const std::system_error& error) {
        of_stream = error.code().value();
      }
    });
  });
  EXPECT_EQ(of_hook, ENETUNREACH);
  EXPECT_EQ(of_stream, ENETUNREACH);
}

TEST_F(RealServer, IsNotReachedByATaskWithoutHooks) {
  Simulation sim;
  int error = 0;
  sim.node("client").run([&] {
    const hooks::Disable disabled;
    error = connect_error(port_);
  });
  sim.run_for(1s);
  EXPECT_EQ(error, ENETUNREACH);
}

TEST_F(RealServer, IsReachedOnRequestAndAfterwards) {
  {
    const Simulation sim{{.real_network = true}};
    EXPECT_EQ(connect_error(port_), 0);
    const Simulation stricter;
    EXPECT_EQ(connect_error(port_), ENETUNREACH);
  }
  EXPECT_EQ(connect_error(port_), 0);
}

TEST_F(RealServer, LogSaysOnceWhatToDo) {
  const Simulation sim;
  connect_error(port_);
  connect_error(port_);
  ASSERT_EQ(log_.size(), 1u);
  EXPECT_EQ(log_[0].find("connect() with 127.0.0.1 is refused: "), 0u) << log_[0];
  EXPECT_NE(log_[0].find("SimulationOptions::real_network"), std::string::npos);
}

TEST_F(RealServer, OtherCallsThatNameAnAddressAreRefused) {
  const Simulation sim;
  const sockaddr_in to = loopback(port_);
  const auto* const address = reinterpret_cast<const sockaddr*>(&to);
  const Fd stream(::socket(AF_INET, SOCK_STREAM, 0));
  const Fd datagram(::socket(AF_INET, SOCK_DGRAM, 0));
  const auto error_of = [](auto result) { return result == -1 ? errno : 0; };
  EXPECT_EQ(error_of(::bind(stream.get(), address, sizeof to)), ENETUNREACH);
  EXPECT_EQ(error_of(::listen(stream.get(), 1)), ENETUNREACH);
  EXPECT_EQ(error_of(::sendto(datagram.get(), "x", 1, 0, address, sizeof to)), ENETUNREACH);
  mmsghdr message{};
  sockaddr_in named = to;
  message.msg_hdr.msg_name = &named;
  message.msg_hdr.msg_namelen = sizeof named;
  EXPECT_EQ(error_of(::sendmsg(datagram.get(), &message.msg_hdr, 0)), ENETUNREACH);
  EXPECT_EQ(error_of(::sendmmsg(datagram.get(), &message, 1, 0)), ENETUNREACH);
}

TEST_F(RealServer, ConnectionsThatWereThereAndUnixSocketsGoOn) {
  const sockaddr_in to = loopback(port_);
  const Fd before(::socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_EQ(::connect(before.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  const Simulation sim;
  EXPECT_TRUE(send_text(before, "goes on\n"));
  const Fd local(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strcpy(name.sun_path, "/nonexistent/socket");
  EXPECT_EQ(::connect(local.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), -1);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_TRUE(log_.empty());
}

TEST_F(RealServer, NamesAreNotLookedUpButNumbersAre) {
  const Simulation sim;
  EXPECT_EQ(look_up("127.0.0.1"), 0);
  EXPECT_TRUE(log_.empty());
  EXPECT_EQ(look_up("localhost"), EAI_FAIL);
  EXPECT_EQ(::gethostbyname("localhost"), nullptr);
  EXPECT_EQ(h_errno, NO_RECOVERY);
  EXPECT_NE(::gethostbyname("127.0.0.1"), nullptr);
  unsigned char answer[512];
  EXPECT_EQ(::res_query("example.org", 1, 1, answer, sizeof answer), -1);
  EXPECT_EQ(h_errno, NO_RECOVERY);
  char host[64];
  const sockaddr_in address = loopback(80);
  const auto* const asked = reinterpret_cast<const sockaddr*>(&address);
  EXPECT_EQ(::getnameinfo(asked, sizeof address, host, sizeof host, nullptr, 0, 0), EAI_FAIL);
  EXPECT_EQ(::getnameinfo(asked, sizeof address, host, sizeof host, nullptr, 0, NI_NUMERICHOST), 0);
}

}  // namespace
}  // namespace aiofiber::testing::test
