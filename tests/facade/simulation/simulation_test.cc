// SPDX-License-Identifier: Apache-2.0
//
// Simulations: blocking code between machines, on simulated time.
// Labels: long
#include "aiofiber/simulation.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <resolv.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "aiofiber/await.h"
#include "aiofiber/streams.h"
#include "aiofiber/task.h"
#include "facade/simulation/blocking_code.h"
#include "support/descriptors.h"

namespace aiofiber::testing::test {
namespace {

using namespace std::chrono_literals;

LinkOptions exactly(Duration latency) { return {.latency = fixed(latency)}; }

struct Pair : ::testing::Test {
  Simulation sim{{.seed = 42}};
  Node server = sim.node("server");
  Node client = sim.node("client");
};

TEST_F(Pair, BlockingClientGetsTheAnswerOfABlockingServer) {
  std::string answer;
  server.run([] { echo_server(7); });
  client.run([&] { answer = ask("server", 7, "hello"); });
  sim.run_for(1s);
  EXPECT_EQ(answer, "hello");
}

TEST_F(Pair, AnswerTakesAsLongAsItsPackets) {
  Duration took;
  sim.link("server", "client", exactly(10ms));
  server.run([] { echo_server(7); });
  client.run([&] {
    const auto begin = std::chrono::steady_clock::now();
    ask("server", 7, "hello");
    took = std::chrono::steady_clock::now() - begin;
  });
  sim.run_for(1s);
  EXPECT_EQ(took, Duration(40ms));  // two for the handshake, one each way for the line
}

TEST_F(Pair, SplitBytesArriveInOrder) {
  const std::string text(3000, 'x');
  std::string answer;
  sim.link("server", "client", {.latency = uniform(1ms, 40ms), .split = true});
  server.run([] { echo_server(7); });
  client.run([&] { answer = ask("server", 7, text + "end"); });
  sim.run_for(1h);
  EXPECT_EQ(answer, text + "end");
}

TEST_F(Pair, ConnectToAClosedPortIsRefused) {
  int error = 0;
  client.run([&] { error = connect_to("server", 9) ? 0 : errno; });
  sim.run_for(1s);
  EXPECT_EQ(error, ECONNREFUSED);
}

TEST_F(Pair, UnknownNameAndUnknownAddressAreRefusedAtOnce) {
  int of_name = 0;
  int of_address = 0;
  client.run([&] {
    addrinfo* list = nullptr;
    of_name = ::getaddrinfo("example.org", "80", nullptr, &list);
    of_address = connect_to("192.0.2.1", 80) ? 0 : errno;
  });
  sim.run_for(1s);
  EXPECT_EQ(of_name, EAI_NONAME);
  EXPECT_EQ(of_address, ENETUNREACH);
  EXPECT_NE(sim.trace().find("client no node has the address 192.0.2.1:80"), std::string::npos);
}

TEST_F(Pair, SocketsThatAreNotSimulatedAreRefused) {
  int raw = 0;
  int other_family = 0;
  client.run([&] {
    raw = ::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0 ? errno : 0;
    other_family = ::socket(AF_NETLINK, SOCK_DGRAM, 0) < 0 ? errno : 0;
  });
  sim.run_for(1s);
  EXPECT_EQ(raw, EPROTONOSUPPORT);
  EXPECT_EQ(other_family, EAFNOSUPPORT);
}

TEST_F(Pair, ClocksFollowSimulatedTime) {
  time_t at_start = 0;
  time_t slept = 0;
  Duration monotonic;
  Duration wall;
  client.run([&] {
    at_start = ::time(nullptr);
    const auto begin = std::chrono::steady_clock::now();
    const auto wall_begin = std::chrono::system_clock::now();
    std::this_thread::sleep_for(36h);
    slept = ::time(nullptr) - at_start;
    monotonic = std::chrono::steady_clock::now() - begin;
    wall = std::chrono::system_clock::now() - wall_begin;
  });
  sim.run_for(48h);
  EXPECT_EQ(at_start, 1'767'225'600);  // 2026-01-01
  EXPECT_EQ(slept, 36 * 3600);
  EXPECT_EQ(monotonic, Duration(36h));
  EXPECT_EQ(wall, Duration(36h));
  EXPECT_EQ(sim.time(), Duration(48h));
}

TEST_F(Pair, ClocksCanRunFastAndJump) {
  Duration monotonic;
  Duration wall;
  client.set_clock_rate(2.0);
  client.run([&] {
    const auto begin = std::chrono::steady_clock::now();
    const auto wall_begin = std::chrono::system_clock::now();
    ::sleep(10);
    monotonic = std::chrono::steady_clock::now() - begin;
    wall = std::chrono::system_clock::now() - wall_begin;
    sim.note("slept");
  });
  sim.at(1s, [&] { client.set_clock(1h); });
  sim.run_for(1min);
  EXPECT_EQ(monotonic, Duration(10s));
  EXPECT_EQ(wall, Duration(1h + 10s));
  EXPECT_NE(sim.trace().find("5.000000000 note: slept"), std::string::npos) << sim.trace();
}

TEST_F(Pair, ReceiveTimeoutEndsInSimulatedTime) {
  int error = 0;
  Duration took;
  server.run([] {
    const Fd listener = listen_on(7);
    const Fd silent(::accept(listener.get(), nullptr, nullptr));
    ::sleep(100);
  });
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    limit(connection, 3);
    const auto begin = std::chrono::steady_clock::now();
    char byte;
    error = ::recv(connection.get(), &byte, 1, 0) < 0 ? errno : 0;
    took = std::chrono::steady_clock::now() - begin;
  });
  sim.run_for(10s);
  EXPECT_EQ(error, EAGAIN);
  EXPECT_EQ(took, Duration(3s));
}

TEST_F(Pair, NonBlockingConnectBecomesWritableWhenItIsDone) {
  int first = 0;
  int ready_at_once = -1;
  int ready = -1;
  int outcome = -1;
  sim.link("server", "client", exactly(50ms));
  server.run([] { echo_server(7); });
  client.run([&] {
    const Fd connection(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(7);
    address.sin_addr.s_addr = htonl(0x0a000001);
    first =
        ::connect(connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ? errno : 0;
    pollfd entry{connection.get(), POLLOUT, 0};
    ready_at_once = ::poll(&entry, 1, 10);
    ready = ::poll(&entry, 1, 1000);
    socklen_t length = sizeof outcome;
    ::getsockopt(connection.get(), SOL_SOCKET, SO_ERROR, &outcome, &length);
  });
  sim.run_for(2s);
  EXPECT_EQ(first, EINPROGRESS);
  EXPECT_EQ(ready_at_once, 0);
  EXPECT_EQ(ready, 1);
  EXPECT_EQ(outcome, 0);
}

TEST_F(Pair, SocketsHaveTheNamesOfTheSimulatedNetwork) {
  std::string own_peer;
  std::string accepted_from;
  const auto text = [](const sockaddr_in& address) {
    char host[64];
    ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), sizeof address, host, sizeof host, nullptr, 0,
                  NI_NUMERICHOST);
    return std::string(host) + ":" + std::to_string(ntohs(address.sin_port));
  };
  int domain = 0;
  server.run([&] {
    const Fd listener = listen_on(7);
    sockaddr_in address{};
    socklen_t length = sizeof address;
    const Fd connection(::accept(listener.get(), reinterpret_cast<sockaddr*>(&address), &length));
    address.sin_port = 0;  // the client's, from the seed
    accepted_from = text(address);
    length = sizeof domain;
    ::getsockopt(connection.get(), SOL_SOCKET, SO_DOMAIN, &domain, &length);
  });
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    sockaddr_in address{};
    socklen_t length = sizeof address;
    ::getpeername(connection.get(), reinterpret_cast<sockaddr*>(&address), &length);
    own_peer = text(address);
    ::sleep(1);
  });
  sim.run_for(2s);
  EXPECT_EQ(own_peer, "10.0.0.1:7");
  EXPECT_EQ(accepted_from, "10.0.0.2:0");
  EXPECT_EQ(domain, AF_INET);
}

TEST_F(Pair, PartitionDelaysAConnectionUntilItIsHealed) {
  std::string answer;
  Duration when;
  server.run([] { echo_server(7); });
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    ::sleep(2);
    send_text(connection, "late\n");
    read_line(connection, answer);
    when = sim.time();
  });
  sim.at(1s, [&] { sim.partition("server", "client"); });
  sim.at(1min, [&] { sim.heal(); });
  sim.run_for(1h);
  EXPECT_EQ(answer, "late");
  EXPECT_GT(when, Duration(1min));
  EXPECT_LT(when, Duration(3min));  // tries are at most two minutes apart
}

TEST_F(Pair, PartitionForEverEndsAConnection) {
  int error = 0;
  Duration when;
  server.run([] { echo_server(7); });
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    ::sleep(2);
    send_text(connection, "lost\n");
    char byte;
    error = ::recv(connection.get(), &byte, 1, 0) < 0 ? errno : 0;
    when = sim.time();
  });
  sim.at(1s, [&] { sim.partition("server", "client"); });
  sim.run_for(24h);
  EXPECT_EQ(error, ETIMEDOUT);
  EXPECT_GT(when, Duration(10min));
  EXPECT_LT(when, Duration(20min));
}

// Each way to hear of a connection that was given up. The next call sees its end.
TEST_F(Pair, GivenUpConnectionSaysSoOnce) {
  const auto error_of = [](ssize_t result) { return result < 0 ? errno : 0; };
  char byte;
  const std::map<std::string, std::function<int(int)>> ways = {
      {"recv", [&](int fd) { return error_of(::recv(fd, &byte, 1, 0)); }},
      {"recv at once", [&](int fd) { return error_of(::recv(fd, &byte, 1, MSG_DONTWAIT)); }},
      {"read", [&](int fd) { return error_of(::read(fd, &byte, 1)); }},
      {"send", [&](int fd) { return error_of(::send(fd, "x", 1, MSG_NOSIGNAL)); }},
      {"SO_ERROR",
       [](int fd) {
         int error = 0;
         socklen_t length = sizeof error;
         return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
       }},
  };
  std::map<std::string, int> first;
  std::map<std::string, ssize_t> then;
  server.run([] {
    const Fd listener = listen_on(7);
    ::sleep(86'400);
  });
  for (const auto& entry : ways) {
    client.run([&] {
      const auto& [name, way] = entry;
      const Fd connection = connect_to("server", 7);
      ::sleep(2);
      send_text(connection, "lost\n");
      ::sleep(3600);
      first[name] = way(connection.get());
      then[name] = ::recv(connection.get(), &byte, 1, 0);
    });
  }
  sim.at(1s, [&] { sim.partition("server", "client"); });
  sim.run_for(2h);
  ASSERT_EQ(first.size(), ways.size());
  for (const auto& [name, error] : first) {
    EXPECT_EQ(error, ETIMEDOUT) << name;
    EXPECT_EQ(then[name], 0) << name;
  }
}

// A write to a connection that was given up or reset says so, and raises no signal. The next one does.
TEST_F(Pair, FirstWriteToALostConnectionSaysWhyAndTheSecondRaisesSigpipe) {
  static volatile std::sig_atomic_t raised;
  raised = 0;
  struct sigaction counting {};
  struct sigaction before {};
  counting.sa_handler = [](int) { raised = raised + 1; };
  ::sigaction(SIGPIPE, &counting, &before);
  const std::vector<std::function<ssize_t(int)>> ways = {
      [](int fd) { return ::send(fd, "x", 1, 0); }, [](int fd) { return ::write(fd, "x", 1); },
      [](int fd) { return ::send(fd, "x", 1, MSG_DONTWAIT); },
      [](int fd) {
        iovec piece{const_cast<char*>("x"), 1};
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        return ::sendmsg(fd, &message, 0);
      }};
  std::vector<int> first;
  std::vector<int> second;
  std::vector<int> signals;
  const auto lose = [&](const std::function<ssize_t(int)>& way, unsigned wait) {
    const Fd connection = connect_to("server", 7);
    ::sleep(2);
    send_text(connection, "lost\n");
    ::sleep(wait);
    for (std::vector<int>* const errors : {&first, &second}) {
      errors->push_back(way(connection.get()) < 0 ? errno : 0);
      signals.push_back(static_cast<int>(raised));
      raised = 0;
    }
  };
  server.run([] {
    const Fd listener = listen_on(7);
    ::sleep(86'400);
  });
  client.run([&] {
    for (const auto& way : ways) {
      sim.after(1s, [&] { sim.partition("server", "client"); });
      sim.after(1h, [&] { sim.heal(); });
      lose(way, 7200);
    }
    for (const auto& way : ways) {
      sim.after(3s, [&] {
        server.kill();
        server.restart();
      });
      lose(way, 10);
    }
  });
  sim.run_for(24h);
  ::sigaction(SIGPIPE, &before, nullptr);
  std::vector<int> reasons(4, ETIMEDOUT);
  reasons.resize(8, ECONNRESET);
  EXPECT_EQ(first, reasons);
  EXPECT_EQ(second, std::vector<int>(8, EPIPE));
  std::vector<int> expected;
  for (int i = 0; i < 8; ++i) expected.insert(expected.end(), {0, 1});
  EXPECT_EQ(signals, expected);
}

// The thread is a real one. It takes no simulated time, however long it takes.
TEST_F(Pair, JoiningAThreadTakesNoSimulatedTime) {
  std::atomic<bool> may_end{false};
  int result = 0;
  Duration when(1s);
  client.run([&] {
    create_task([&] { may_end = true; }).detach();  // runs when the join waits
    std::thread thread([&] {
      while (!may_end) std::this_thread::yield();
      for (volatile int i = 0; i < 1'000'000;) i = i + 1;
      result = 42;
    });
    thread.join();
    when = sim.time();
  });
  sim.run_for(1min);
  EXPECT_EQ(result, 42);
  EXPECT_EQ(when, Duration());
}

TEST_F(Pair, OneWayPartitionLosesOnlyTheAnswers) {
  std::string asked;
  std::string answer = "none";
  server.run([&] {
    const Fd listener = listen_on(7);
    const Fd connection(::accept(listener.get(), nullptr, nullptr));
    read_line(connection, asked);
    send_text(connection, "answer\n");
    ::sleep(100);
  });
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    ::sleep(2);
    limit(connection, 5);
    send_text(connection, "question\n");
    read_line(connection, answer);
  });
  sim.at(1s, [&] { sim.partition_one_way("server", "client"); });
  sim.run_for(1min);
  EXPECT_EQ(asked, "question");
  EXPECT_EQ(answer, "");
}

TEST_F(Pair, ConnectIntoAPartitionTimesOutAfterTwoMinutes) {
  int error = 0;
  Duration when;
  server.run([] { echo_server(7); });
  client.run([&] {
    ::sleep(1);
    error = connect_to("server", 7) ? 0 : errno;
    when = sim.time();
  });
  sim.partition("server", "client");
  sim.run_for(1h);
  EXPECT_EQ(error, ETIMEDOUT);
  EXPECT_EQ(when, Duration(128s));  // Linux: six repeated SYNs, 127 s
}

TEST_F(Pair, LostSynIsSentAgain) {
  bool connected = false;
  Duration when;
  server.run([] { echo_server(7); });
  client.run([&] {
    connected = static_cast<bool>(connect_to("server", 7));
    when = sim.time();
  });
  sim.partition("server", "client");
  sim.at(500ms, [&] { sim.heal("server", "client"); });
  sim.run_for(1min);
  EXPECT_TRUE(connected);
  EXPECT_GT(when, Duration(1s));
  EXPECT_LT(when, Duration(1010ms));
}

TEST_F(Pair, KilledServerResetsItsConnectionsAndRefusesNewOnes) {
  int error = 0;
  int again = 0;
  server.run([] { echo_server(7); });
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    char byte;
    error = ::recv(connection.get(), &byte, 1, 0) < 0 ? errno : 0;
    again = connect_to("server", 7) ? 0 : errno;
  });
  sim.at(1s, [&] { server.kill(); });
  sim.run_for(1min);
  EXPECT_EQ(error, ECONNRESET);
  EXPECT_EQ(again, ECONNREFUSED);
}

TEST_F(Pair, KilledProgramRunsNothingButDestructors) {
  bool went_on = false;
  bool destroyed = false;
  struct Guard {
    bool& flag;
    ~Guard() { flag = true; }
  };
  client.run([&] {
    const Guard guard{destroyed};
    const Fd listener = listen_on(7);
    const Fd connection(::accept(listener.get(), nullptr, nullptr));
    went_on = true;
  });
  sim.at(1s, [&] { client.kill(); });
  sim.run_for(2s);
  EXPECT_TRUE(destroyed);
  EXPECT_FALSE(went_on);
}

TEST_F(Pair, KilledProgramLeavesNoDescriptorOpen) {
  const std::size_t before = open_descriptors().size();
  client.run([&] {
    listen_on(7);  // closed
    const int forgotten = ::socket(AF_INET, SOCK_STREAM, 0);
    ::dup(forgotten);
    ::sleep(100);
  });
  sim.run_for(1s);
  client.kill();
  // The machine's loop is gone, too.
  EXPECT_LE(open_descriptors().size(), before);
}

TEST_F(Pair, RestartedServerServesAgain) {
  std::string first;
  std::string second;
  server.run([] { echo_server(7); });
  client.run([&] {
    first = ask("server", 7, "one");
    ::sleep(3600);
    second = ask("server", 7, "two");
  });
  sim.at(1min, [&] {
    server.kill();
    server.restart();
  });
  sim.run_for(2h);
  EXPECT_EQ(first, "one");
  EXPECT_EQ(second, "two");
}

TEST_F(Pair, ConnectionToAMachineThatLostPowerIsHalfOpenUntilItIsBack) {
  int error = 0;
  Duration when;
  server.run([] { echo_server(7); });
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    ::sleep(10);
    send_text(connection, "anybody?\n");
    char byte;
    error = ::recv(connection.get(), &byte, 1, 0) < 0 ? errno : 0;
    when = sim.time();
  });
  sim.at(1s, [&] { server.crash(); });
  sim.at(60s, [&] { server.restart(); });
  sim.run_for(1h);
  EXPECT_EQ(error, ECONNRESET);
  EXPECT_GT(when, Duration(60s));
}

TEST_F(Pair, PausedProgramStandsStillWhileItsKernelAccepts) {
  bool connected = false;
  std::string answer;
  Duration when;
  server.run([] { echo_server(7); });
  client.run([&] {
    ::sleep(2);
    const Fd connection = connect_to("server", 7);
    connected = static_cast<bool>(connection) && sim.time() < Duration(3s);
    send_text(connection, "hello\n");
    read_line(connection, answer);
    when = sim.time();
  });
  sim.at(1s, [&] { server.pause(); });
  sim.at(60s, [&] { server.resume(); });
  sim.run_for(2min);
  EXPECT_TRUE(connected);
  EXPECT_EQ(answer, "hello");
  EXPECT_GE(when, Duration(60s));
}

TEST_F(Pair, SenderWaitsWhileTheReceiverDoesNotRead) {
  std::size_t sent = 0;
  std::size_t sent_before_reading = 0;
  std::size_t received = 0;
  constexpr std::size_t kAll = 4'000'000;
  server.run([&] {
    const Fd listener = listen_on(7);
    const Fd connection(::accept(listener.get(), nullptr, nullptr));
    ::sleep(60);
    sent_before_reading = sent;
    char buffer[8192];
    for (ssize_t n; (n = ::recv(connection.get(), buffer, sizeof buffer, 0)) > 0;)
      received += static_cast<std::size_t>(n);
  });
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    const std::string piece(1000, 'x');
    for (; sent < kAll; sent += piece.size()) ASSERT_TRUE(send_text(connection, piece));
  });
  sim.run_for(10min);
  EXPECT_LT(sent_before_reading, 2'000'000u);
  EXPECT_EQ(received, kAll);
}

TEST_F(Pair, BandwidthBoundsTheRate) {
  Duration when;
  sim.link("server", "client", {.latency = fixed(1ms), .bandwidth = 10'000});
  server.run([&] {
    const Fd listener = listen_on(7);
    const Fd connection(::accept(listener.get(), nullptr, nullptr));
    char buffer[8192];
    while (::recv(connection.get(), buffer, sizeof buffer, 0) > 0) {
    }
    when = sim.time();
  });
  client.run([&] { send_text(connect_to("server", 7), std::string(100'000, 'x')); });
  sim.run_for(1min);
  EXPECT_GT(when, Duration(10s));
  EXPECT_LT(when, Duration(11s));
}

TEST_F(Pair, UnreadDataAtACloseBecomesAReset) {
  int error = 0;
  server.run([] {
    const Fd listener = listen_on(7);
    const Fd connection(::accept(listener.get(), nullptr, nullptr));
    ::sleep(1);
  });
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    send_text(connection, "unread");
    char byte;
    error = ::recv(connection.get(), &byte, 1, 0) < 0 ? errno : 0;
  });
  sim.run_for(10s);
  EXPECT_EQ(error, ECONNRESET);
}

TEST_F(Pair, HalfCloseLetsTheAnswerThrough) {
  std::string answer;
  ssize_t end = -1;
  server.run([] {
    const Fd listener = listen_on(7);
    const Fd connection(::accept(listener.get(), nullptr, nullptr));
    char byte;
    int count = 0;
    while (::recv(connection.get(), &byte, 1, 0) == 1) ++count;
    send_text(connection, std::to_string(count) + "\n");
  });
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    send_text(connection, "12345");
    ::shutdown(connection.get(), SHUT_WR);
    ::sleep(1);  // the server has closed, too
    read_line(connection, answer);
    char byte;
    end = ::recv(connection.get(), &byte, 1, 0);
  });
  sim.run_for(10s);
  EXPECT_EQ(answer, "5");
  EXPECT_EQ(end, 0);
}

TEST_F(Pair, ResetReachesAClientThatSendsNothingMore) {
  int error = 0;
  std::string answer;
  server.run([] {
    const Fd listener = listen_on(7);
    const Fd connection(::accept(listener.get(), nullptr, nullptr));
    send_text(connection, "half an ans");
    ::sleep(100);
  });
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    send_text(connection, "question\n");
    ::shutdown(connection.get(), SHUT_WR);
    char byte;
    ssize_t count;
    while ((count = ::recv(connection.get(), &byte, 1, 0)) == 1) answer += byte;
    error = count < 0 ? errno : 0;
  });
  sim.at(1s, [&] { server.kill(); });
  sim.run_for(10s);
  EXPECT_EQ(answer, "half an ans");
  EXPECT_EQ(error, ECONNRESET);
}

TEST_F(Pair, NameServiceCanBeSlowWrongAndFailing) {
  Duration took;
  int failed = 0;
  std::string from_other;
  sim.node("other").run([] { echo_server(7); });
  client.run([&] {
    addrinfo* list = nullptr;
    client.set_name_service(fixed(5s));
    const Duration begin = sim.time();
    ::getaddrinfo("server", "7", nullptr, &list);
    took = Duration(sim.time().nanoseconds() * 1ns - begin.nanoseconds() * 1ns);
    ::freeaddrinfo(list);
    client.set_name_service(fixed(0s), EAI_AGAIN);
    failed = ::getaddrinfo("server", "7", nullptr, &list);
    client.set_name_service(fixed(0s));
    client.set_host("server", "10.0.0.3");
    from_other = ask("server", 7, "hello");
  });
  sim.run_for(1min);
  EXPECT_EQ(took, Duration(5s));
  EXPECT_EQ(failed, EAI_AGAIN);
  EXPECT_EQ(from_other, "hello");
}

TEST_F(Pair, OldCallsForNamesAskTheSimulatedNetwork) {
  std::string address;
  int unknown = 0;
  int dns = 0;
  client.run([&] {
    char text[64] = "";
    if (const hostent* const host = ::gethostbyname("server"))
      ::inet_ntop(AF_INET, host->h_addr_list[0], text, sizeof text);
    address = text;
    unknown = ::gethostbyname("example.org") == nullptr ? h_errno : 0;
    unsigned char answer[512];
    dns = ::res_query("example.org", 1, 1, answer, sizeof answer) < 0 ? h_errno : 0;
  });
  sim.run_for(1s);
  EXPECT_EQ(address, "10.0.0.1");
  EXPECT_EQ(unknown, HOST_NOT_FOUND);
  EXPECT_EQ(dns, TRY_AGAIN);
}

TEST(SeededRandom, SystemsRandomNumbersComeFromTheSeedOnRequest) {
  const auto number_of = [](std::uint64_t seed, bool seeded) {
    Simulation sim({.seed = seed, .seed_random = seeded});
    std::uint64_t number = 0;
    sim.node("a").run([&] { EXPECT_EQ(::getrandom(&number, sizeof number, 0), 8); });
    sim.run_for(1s);
    return number;
  };
  EXPECT_EQ(number_of(1, true), number_of(1, true));
  EXPECT_NE(number_of(1, true), number_of(2, true));
  EXPECT_NE(number_of(1, false), number_of(1, false));
}

TEST_F(Pair, UnixSocketsConnectThePrograms) {
  std::string answer;
  int elsewhere = 0;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "/run/simulated.socket");
  const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
  server.run([&] {
    const Fd listener(::socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(::bind(listener.get(), generic, sizeof address), 0);
    ASSERT_EQ(::listen(listener.get(), 1), 0);
    const Fd connection(::accept(listener.get(), nullptr, nullptr));
    send_text(connection, "by path\n");
    ::sleep(10);
  });
  server.run([&] {
    ::sleep(1);
    const Fd connection(::socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(::connect(connection.get(), generic, sizeof address), 0);
    read_line(connection, answer);
  });
  client.run([&] {
    ::sleep(2);
    const Fd connection(::socket(AF_UNIX, SOCK_STREAM, 0));
    elsewhere = ::connect(connection.get(), generic, sizeof address) != 0 ? errno : 0;
  });
  sim.run_for(1min);
  EXPECT_EQ(answer, "by path");
  EXPECT_EQ(elsewhere, ENOENT);
}

TEST_F(Pair, AsynciosStreamsUseTheSimulatedNetwork) {
  std::string answer;
  server.run([] { echo_server(7); });
  client.run([&] {
    auto [reader, writer] = await(open_connection("10.0.0.1", 7));
    writer.write("streams\n");
    answer = await(reader.readline());
    writer.close();
  });
  sim.run_for(10s);
  EXPECT_EQ(answer, "streams\n");
}

TEST_F(Pair, DescriptorsAreRealOnes) {
  std::string answer;
  server.run([] { echo_server(7); });
  client.run([&] {
    const Fd connection = connect_to("server", 7);
    std::FILE* const file = ::fdopen(::dup(connection.get()), "r+");
    std::fputs("by stdio\n", file);
    std::fflush(file);
    pollfd entry{connection.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&entry, 1, 1000), 1);
    char line[64] = "";
    ASSERT_NE(std::fgets(line, sizeof line, file), nullptr);
    answer = line;
    std::fclose(file);
  });
  sim.run_for(10s);
  EXPECT_EQ(answer, "by stdio\n");
}

TEST_F(Pair, PortIsTakenOnItsOwnMachineOnly) {
  int same = 0;
  bool other = false;
  server.run([&] {
    const Fd first = listen_on(7);
    same = listen_on(7) ? 0 : errno;
    ::sleep(10);
  });
  client.run([&] {
    ::sleep(1);
    other = static_cast<bool>(listen_on(7));
  });
  sim.run_for(1min);
  EXPECT_EQ(same, EADDRINUSE);
  EXPECT_TRUE(other);
}

TEST_F(Pair, ExceptionOfAProgramEndsTheRun) {
  client.run([] {
    ::sleep(5);
    throw std::runtime_error("broken");
  });
  EXPECT_THROW(sim.run_for(1min), std::runtime_error);
  EXPECT_EQ(sim.time(), Duration(5s));
}

TEST_F(Pair, ProgramCannotEndANodeNorRunTheSimulation) {
  client.run([&] {
    EXPECT_THROW(server.kill(), RuntimeError);
    EXPECT_THROW(client.restart(), RuntimeError);
    EXPECT_THROW(sim.run_for(1s), RuntimeError);
  });
  sim.run_for(1s);
}

TEST_F(Pair, BadSettingsAreRefused) {
  EXPECT_THROW(sim.link("server", "nobody", {}), ValueError);
  EXPECT_THROW(sim.link("server", "client", {.latency = uniform(2s, 1s)}), ValueError);
  EXPECT_THROW(sim.link("server", "client", {.loss = 1.5}), ValueError);
  EXPECT_THROW(sim.link("server", "client", {.duplication = -0.5}), ValueError);
  EXPECT_THROW(client.set_clock_rate(0), ValueError);
  EXPECT_THROW(client.run(nullptr), TypeError);
}

TEST_F(Pair, CallsOutsideItsMachinesAreLibcs) {
  const time_t before = ::time(nullptr);
  sim.run_for(24h);
  EXPECT_LT(::time(nullptr) - before, 3600);
  const Fd real(::socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_TRUE(real);
}

}  // namespace
}  // namespace aiofiber::testing::test
