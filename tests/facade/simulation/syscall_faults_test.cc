// SPDX-License-Identifier: Apache-2.0
//
// Each system call that asyncio's streams, socket calls and datagrams make fails once, with each error that
// its manual names. On simulated machines, where a program that waits in vain or spins shows at once.
//
// What must hold, whichever call it was: of two rounds, at most the one of the fault has not the right data,
// and then it ends with an error that says why. Where the errno means "try again", both have it. Only if the
// server could not start, none need. No descriptor is left.
//
// Labels: slow
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "aiofiber/simulation.h"
#include "support/descriptors.h"

namespace aiofiber::testing::test {
namespace {

using namespace std::chrono_literals;

// The errors of a call that can occur here. Not in the list: calls for memory, which stack_test.cc has;
// libev's epoll_ctl(), which epoll_refusals_test.cc has, because here it could not be told which of them
// Linux may refuse; and shutdown(), which fails only where the connection is gone already.
const std::map<std::string_view, std::vector<int>>& errors() {
  static const std::map<std::string_view, std::vector<int>> list{
      {"socket", {EMFILE, ENFILE, ENOBUFS, ENOMEM, EAFNOSUPPORT}},
      {"socketpair", {EMFILE, ENFILE}},
      {"bind", {EADDRINUSE, EACCES, EADDRNOTAVAIL}},
      {"listen", {EADDRINUSE}},
      {"connect", {ECONNREFUSED, ENETUNREACH, ETIMEDOUT, EADDRNOTAVAIL}},  // after EINTR it would go on
      {"accept4",
       {EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EPERM, EPROTO, ENETDOWN, EHOSTUNREACH, ETIMEDOUT,
        EINTR, EAGAIN}},
      {"recvfrom", {ECONNRESET, ETIMEDOUT, ENOMEM, EINTR, EAGAIN}},
      {"sendto", {ECONNRESET, EPIPE, ENOBUFS, ENOMEM, EINTR, EAGAIN}},
      {"sendmsg", {ECONNRESET, EPIPE, ENOBUFS, ENOMEM, EINTR, EAGAIN}},
      {"setsockopt", {ENOPROTOOPT, ENOMEM}},
      {"epoll_ctl", {ENOMEM, ENOSPC}},
  };
  return list;
}
const std::vector<int>& errors_of(std::string_view call) {
  const auto found = errors().find(call);
  static const std::vector<int> none;
  return found != errors().end() ? found->second : none;
}
bool means_try_again(int error) { return error == EINTR || error == EAGAIN; }

// Lets call number `at` fail with an error; notes the names of all. Calls for memory do not count: how many
// there are depends on what earlier runs have left in reserve.
struct OneFault final : runtime::FaultPlan {
  explicit OneFault(std::size_t fails_at, int its_error) : at(fails_at), error(its_error) {
    runtime::current_fault_plan = this;
  }
  ~OneFault() override { runtime::current_fault_plan = nullptr; }
  OneFault(const OneFault&) = delete;
  OneFault& operator=(const OneFault&) = delete;

  int fail(const char* call) noexcept override {
    constexpr std::size_t kMostCalls = 20'000;
    if (errors_of(call).empty()) return 0;
    calls.emplace_back(call);
    if (calls.size() > kMostCalls) {  // it would never end
      std::fprintf(stderr, "it spins after call %zu fails: %s\n", at, calls[at].c_str());
      std::abort();
    }
    return calls.size() - 1 == at ? error : 0;
  }
  const std::size_t at;
  const int error;
  std::vector<std::string> calls;
};
constexpr std::size_t kNever = ~std::size_t{0};

// ---- scenarios: a server, and a round of its client

constexpr const char* kServer = "10.0.0.1";
const std::string kMuch(100'000, 'm');

struct Scenario {
  const char* name;
  void (*serve)();
  std::string (*round)();
  std::string result;  // of a round
};

// A server whose send has failed ends the connection in order: its client must look.
void expect_end_after(bool all) {
  if (!all) throw std::system_error(ECONNRESET, std::generic_category(), "an early end");
}

// Closes what an error leaves open.
struct Closing {
  StreamWriter& writer;
  ~Closing() {
    if (!writer.is_closing()) writer.close();
  }
};

std::string stream_round() {
  auto connection = await(open_connection(kServer, 7));
  StreamReader& reader = connection.first;
  StreamWriter& writer = connection.second;
  const Closing closing{writer};
  std::string got;
  for (const char* const line : {"one\n", "two\n"}) {
    writer.write(line);
    await(writer.drain());
    got += await(reader.readline());
    expect_end_after(got.ends_with('\n'));
  }
  writer.write(kMuch);
  writer.write_eof();
  const std::string rest = await(reader.read());
  writer.close();
  await(writer.wait_closed());
  EXPECT_TRUE(kMuch.starts_with(rest)) << "not what was sent";
  expect_end_after(rest.size() == kMuch.size());
  return got + std::to_string(rest.size());
}
void serve_streams() {
  const auto echo = [](StreamReader reader, StreamWriter writer) {
    try {
      for (std::string bytes; !(bytes = await(reader.read(65'536))).empty();) {
        writer.write(bytes);
        await(writer.drain());
      }
      writer.close();
      await(writer.wait_closed());
    } catch (const std::system_error&) {
      writer.close();
    }
  };
  Server server = await(start_server(echo, "0.0.0.0", 7));
  await(server.serve_forever());
}

std::string socket_round() {
  EventLoop& loop = get_running_loop();
  const Socket socket(AF_INET, SOCK_STREAM);
  await(loop.sock_connect(socket.fd(), SocketAddress(kServer, 8)));
  std::string got;
  for (const char* const text : {"one", "two"}) {
    await(loop.sock_sendall(socket.fd(), text));
    for (std::size_t more = 3; more > 0;) {
      const std::string part = await(loop.sock_recv(socket.fd(), more));
      expect_end_after(!part.empty());
      got += part;
      more -= part.size();
    }
  }
  return got;
}
void serve_sockets() {
  EventLoop& loop = get_running_loop();
  const Socket listener(AF_INET, SOCK_STREAM);
  const SocketAddress own("0.0.0.0", 8);
  if (::bind(listener.fd(), own.data(), own.size()) != 0 || ::listen(listener.fd(), 8) != 0)
    throw std::system_error(errno, std::generic_category(), "listen");
  for (;;) {
    try {
      const auto accepted = await(loop.sock_accept(listener.fd()));
      for (std::string bytes; !(bytes = await(loop.sock_recv(accepted.first.fd(), 64))).empty();)
        await(loop.sock_sendall(accepted.first.fd(), bytes));
      accepted.first.close();
    } catch (const std::system_error&) {
    }
  }
}

// Asks up to three times, as clients of UDP do.
struct Answers : DatagramProtocol {
  void datagram_received(std::string_view data, const SocketAddress&) override {
    text = data;
    came.set();
  }
  void error_received(std::exception_ptr) override {}
  std::string text;
  Event came;
};
std::string datagram_round() {
  auto made = await(get_running_loop().create_datagram_endpoint([] { return std::make_shared<Answers>(); },
                                                                {.remote_addr = {{kServer, 9}}}));
  auto answers = std::static_pointer_cast<Answers>(made.second);
  for (int i = 0; i < 3 && answers->text.empty(); ++i) {
    made.first.sendto("question");
    try {
      await(wait_for(answers->came.wait(), 2s));
    } catch (const TimeoutError&) {
    }
  }
  made.first.close();
  await(sleep(Duration()));
  if (answers->text.empty()) throw std::system_error(ETIMEDOUT, std::generic_category(), "no answer");
  return answers->text;
}
struct Echo : DatagramProtocol {
  void connection_made(DatagramTransport made) override { transport = made; }
  void datagram_received(std::string_view data, const SocketAddress& from) override {
    transport.sendto(data, from);
  }
  DatagramTransport transport;
};
void serve_datagrams() {
  auto made = await(get_running_loop().create_datagram_endpoint([] { return std::make_shared<Echo>(); },
                                                                {.local_addr = {{"0.0.0.0", 9}}}));
  await(sleep(1000h));
}

const Scenario kScenarios[] = {
    {"streams", serve_streams, stream_round, "one\ntwo\n100000"},
    {"socket calls", serve_sockets, socket_round, "onetwo"},
    {"datagrams", serve_datagrams, datagram_round, "question"},
};

// ---- runs

constexpr std::size_t kRounds = 2;
const std::string kError = "error: ";

struct Outcome {
  std::vector<std::string> rounds;
  bool serves = true;
  std::vector<std::string> calls;
};
std::string text_of(std::string (*round)()) {
  try {
    return round();
  } catch (const std::system_error& error) {
    return kError + std::to_string(error.code().value());
  } catch (const IncompleteReadError&) {
    return kError + "an early end";
  } catch (const std::bad_alloc&) {  // of ENOMEM
    return kError + "no memory";
  }
}
Outcome run(const Scenario& scenario, std::size_t at, int error) {
  Outcome outcome;
  Simulation sim({.seed = 1});
  Node server = sim.node("server");
  Node client = sim.node("client");
  const auto serve = [&] {
    try {
      scenario.serve();
    } catch (const std::system_error&) {
      outcome.serves = false;
    } catch (const std::bad_alloc&) {
      outcome.serves = false;
    }
  };
  const auto ask = [&] {
    for (std::size_t i = 0; i < kRounds; ++i) {
      await(sleep(10s));
      outcome.rounds.push_back(text_of(scenario.round));
    }
  };
  OneFault plan(at, error);
  server.run(serve);
  client.run(ask);
  sim.run_for(10min);
  outcome.calls = std::move(plan.calls);
  return outcome;
}

void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

class EachCall : public ::testing::TestWithParam<Scenario> {};

TEST_P(EachCall, FailsOnceAndNothingIsLostOrHangs) {
  const Scenario& scenario = GetParam();
  const Outcome plain = run(scenario, kNever, 0);
  ASSERT_EQ(plain.rounds, std::vector<std::string>(kRounds, scenario.result));
  const std::size_t before = open_descriptors().size();
  std::size_t runs = 0;
  for (std::size_t at = 0; at < plain.calls.size(); ++at) {
    for (const int error : errors_of(plain.calls[at])) {
      SCOPED_TRACE(std::string(scenario.name) + ": call " + std::to_string(at) + ", " + plain.calls[at] +
                   ", errno " + std::to_string(error));
      const Outcome outcome = run(scenario, at, error);
      ASSERT_GT(outcome.calls.size(), at);
      ASSERT_EQ(outcome.calls[at], plain.calls[at]);
      EXPECT_EQ(outcome.rounds.size(), kRounds) << "a round waits in vain";
      std::size_t wrong = 0;
      for (const std::string& round : outcome.rounds) {
        if (round == scenario.result) continue;
        ++wrong;
        EXPECT_TRUE(round.starts_with(kError)) << "wrong data: " << round.substr(0, 100);
      }
      const std::size_t most = !outcome.serves ? kRounds : means_try_again(error) ? 0 : 1;
      EXPECT_LE(wrong, most) << ::testing::PrintToString(outcome.rounds);
      EXPECT_EQ(open_descriptors().size(), before);
      ++runs;
      if (::testing::Test::HasFailure()) return;
    }
  }
  std::printf("%s: %zu calls, %zu runs\n", scenario.name, plain.calls.size(), runs);
}

INSTANTIATE_TEST_SUITE_P(Faults, EachCall, ::testing::ValuesIn(kScenarios), [](const auto& each) {
  std::string name = each.param.name;
  std::erase(name, ' ');
  return name;
});

}  // namespace
}  // namespace aiofiber::testing::test
