// SPDX-License-Identifier: Apache-2.0
//
// Every client under every kind of fault. A call returns or throws in time under each fault. The other tasks
// of the loop are hardly delayed. The next call works.
//
// With AIOFIBER_CLIENT_TABLE=runtime/hooks/README.md, the run writes its table into that file
// (client_table.h).
#include <time.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <string>

#include "calls/client_calls.h"
#include "client_table.h"
#include "client_test.h"
#include "proxy.h"
#include "ticker.h"

namespace aiofiber::clients_test {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr double kLongestWaitMs = 50;  // a handshake's arithmetic is several times as slow
#else
constexpr double kLongestWaitMs = 10;
#endif

const std::map<std::string, std::function<std::unique_ptr<ClientCalls>()>>& clients() {
  static const std::map<std::string, std::function<std::unique_ptr<ClientCalls>()>> all = {
      {"libpq", libpq_calls},
      {"hiredis", hiredis_calls},
      {"libcurl", [] { return libcurl_calls(false); }},
      {"libcurl_tls", [] { return libcurl_calls(true); }},
      {"libmariadb", libmariadb_calls},
      {"libmemcached", libmemcached_calls},
      {"libssh2", libssh2_calls},
      {"openssl", openssl_calls},
      {"iostream", iostream_calls},
      {"libpqxx", libpqxx_calls},
      {"soci", soci_calls},
      {"psqlodbc", psqlodbc_calls},
      {"thrift", thrift_calls},
  };
  return all;
}

class Matrix : public testing::TestWithParam<std::string> {
 protected:
  // Starts the server, outside of any loop, and makes what a library makes once in a process.
  void SetUp() override {
    client_ = clients().at(GetParam())();
    client_->server().start();
    ASSERT_TRUE(client_->quick(client_->port())) << "the client does not even work in a plain thread";
  }
  void TearDown() override {
    client_table().add(client_->name(), client_->functions(), column_, HasFailure() ? "**no**" : outcome_);
  }

  // Runs body() in a loop beside a ticker, and checks that the call after it works and that no task waited
  // long. A blocked thread blocks each time; a page fault or a busy host, which look similar, do not. after()
  // is called without a loop after each run of the body.
  void beside_a_ticker(
      const char* column, const std::function<void()>& body, const std::function<void()>& after = [] {},
      double limit_ms = kLongestWaitMs) {
    column_ = column;
    double longest_ms = 0;
    for (int attempt = 0; attempt < 3 && !HasFailure(); ++attempt) {
      asyncio::run([&] {
        const Ticker ticker;
        body();
        longest_ms = ticker.longest_wait_ms();
      });
      after();
      if (longest_ms <= limit_ms) return;
    }
    EXPECT_LE(longest_ms, limit_ms) << "another task waited so many milliseconds for its turn, three times";
  }

  // What a call computes, in a plain thread: the thread's processor time in milliseconds.
  double arithmetic_ms() {
    const auto thread_ms = [] {
      timespec time{};
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
      return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
    };
    const double start = thread_ms();
    EXPECT_TRUE(client_->quick(client_->port()));
    return thread_ms() - start;
  }

  // A call that hangs, on the server or, if it has no such request, in the network.
  void hang() { client_->never(client_->waits_for_ever() ? client_->port() : mute().port()); }
  void expect_that_it_works() { EXPECT_TRUE(client_->quick(client_->port())); }

  // Made by the first who needs it. In a task that is right too: it only starts a thread.
  Proxy& mute() {
    if (mute_ == nullptr) mute_ = std::make_unique<Proxy>(Network::MUTE, client_->port());
    return *mute_;
  }

  std::unique_ptr<ClientCalls> client_;
  std::unique_ptr<Proxy> mute_;
  // The connection is kept, and asked again after a question that takes a second was cut off.
  void asks_again(const std::function<void(const std::function<void()>&)>& cut_off) {
    std::unique_ptr<Proxy> late;
    if (!client_->waits_for_ever()) late = std::make_unique<Proxy>(Network::LATE, client_->port());
    const std::unique_ptr<KeptConnection> connection =
        client_->connect(late == nullptr ? client_->port() : late->port());
    ASSERT_NE(connection, nullptr);
    EXPECT_EQ(connection->ask(1, 0), "1");
    cut_off([&] { connection->ask(2, 1); });
    const std::string third = connection->ask(3, 0);
    asyncio::await(asyncio::sleep(1200ms));
    const std::string fourth = connection->ask(4, 0);
    EXPECT_TRUE(third == "3" || third.empty()) << "the answer to another question: " << third;
    EXPECT_TRUE(fourth == "4" || fourth.empty()) << "the answer to another question: " << fourth;
    outcome_ = !third.empty() ? "right" : !fourth.empty() ? "error, then right" : "error";
  }

  const char* column_ = "";
  std::string outcome_ = "yes";
};

// On a slow machine the arithmetic of eight TLS handshakes in one pass of the loop is more than the bound,
// and no blocking.
TEST_P(Matrix, WorksForEightTasksAtOnce) {
  const auto body = [this] {
    std::vector<asyncio::Task<bool>> tasks;
    for (int i = 0; i < 8; ++i)
      tasks.push_back(asyncio::create_task([this] { return client_->quick(client_->port()); }));
    for (const bool right : asyncio::await(asyncio::gather(tasks))) EXPECT_TRUE(right);
  };
  beside_a_ticker(
      "normal", body, [] {}, std::max(kLongestWaitMs, 8 * arithmetic_ms()));
}

TEST_P(Matrix, IsCancelledInMidCall) {
  beside_a_ticker("cancelled", [this] {
    auto call = asyncio::create_task([this] { hang(); });
    asyncio::await(asyncio::sleep(300ms));
    EXPECT_FALSE(call.done());
    const double seconds = seconds_of([&] {
      call.cancel();
      EXPECT_THROW(asyncio::await(call), asyncio::CancelledError);
    });
    EXPECT_LT(seconds, 1.0);
    expect_that_it_works();
  });
}

TEST_P(Matrix, IsGivenUpByWaitForInMidCall) {
  beside_a_ticker("timed out", [this] {
    const double seconds = seconds_of([this] {
      EXPECT_THROW(asyncio::await(asyncio::wait_for([this] { hang(); }, 300ms)), asyncio::TimeoutError);
    });
    EXPECT_GE(seconds, 0.3);
    EXPECT_LT(seconds, 1.3);
    expect_that_it_works();
  });
}

TEST_P(Matrix, GivesNoOldAnswerAfterACancellation) {
  beside_a_ticker("asked again, cancelled", [this] {
    asks_again([](const std::function<void()>& ask) {
      auto call = asyncio::create_task(ask);
      asyncio::await(asyncio::sleep(300ms));
      EXPECT_FALSE(call.done());
      call.cancel();
      EXPECT_LT(seconds_of([&] { EXPECT_THROW(asyncio::await(call), asyncio::CancelledError); }), 0.5);
    });
  });
}

TEST_P(Matrix, GivesNoOldAnswerAfterAWaitFor) {
  beside_a_ticker("asked again, timed out", [this] {
    asks_again([](const std::function<void()>& ask) {
      EXPECT_THROW(asyncio::await(asyncio::wait_for(ask, 300ms)), asyncio::TimeoutError);
    });
  });
}

TEST_P(Matrix, ReturnsWhenTheServerIsKilledInMidCall) {
  beside_a_ticker(
      "server killed",
      [this] {
        auto call = asyncio::create_task([this] { hang(); });
        asyncio::await(asyncio::sleep(300ms));
        EXPECT_FALSE(call.done());
        asyncio::await(
            asyncio::to_thread([this] { client_->server().kill_now(); }));  // it looks through all processes
        EXPECT_LT(seconds_of([&] { asyncio::await(asyncio::wait_for(call, 3s)); }), 2.0);
        EXPECT_FALSE(client_->quick(client_->port()));
      },
      [this] {
        client_->server().start();
        asyncio::run([this] { expect_that_it_works(); });
      });
}

TEST_P(Matrix, ReadsSegmentsOfOneByte) {
  const Proxy proxy(Network::BYTE_BY_BYTE, client_->port());
  beside_a_ticker("1-byte segments", [&] { EXPECT_TRUE(client_->quick(proxy.port())); });
}

TEST_P(Matrix, WaitsForASlowServer) {
  const Proxy proxy(Network::SLOW, client_->port());
  beside_a_ticker("slow server", [&] { EXPECT_TRUE(client_->quick(proxy.port())); });
}

TEST_P(Matrix, TakesNoMoreProcessorTimeThanThreads) {
  column_ = nullptr;  // not a trouble: the columns on the right
  const Costs costs = measure_costs([this] { return client_->quick(client_->port()); });
  EXPECT_TRUE(costs.all_right);
  std::printf(
      "    %zu bytes of stack; CPU a call: %.0f us in a thread, %.0f us in a task; of a hundred at once: "
      "%.0f us in threads, "
      "%.0f us in tasks\n",
      costs.stack_bytes, costs.thread_us, costs.task_us, costs.threads_us, costs.tasks_us);
  client_table().add_costs(client_->name(), costs);
  // Measured on a machine that does other things as well: a bound that only a real loss exceeds.
  EXPECT_LT(costs.tasks_us, costs.threads_us * 1.25);
}

INSTANTIATE_TEST_SUITE_P(Clients, Matrix, testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const auto& [name, make] : clients()) names.push_back(name);
                           return names;
                         }()),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace aiofiber::clients_test
