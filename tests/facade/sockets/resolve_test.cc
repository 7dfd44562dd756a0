// SPDX-License-Identifier: Apache-2.0
//
// getaddrinfo() and getnameinfo(): what they give, what never leaves the loop's thread, and their errors.
// Labels: long
#include "aiofiber/resolve.h"

#include <gtest/gtest.h>
#include <netdb.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"

namespace aiofiber {
namespace {

using namespace std::string_literals;
using testing::wait_all_tasks_blocked;

// A pool that only counts: what is given to it never runs.
class CountingExecutor : public ThreadPoolExecutor {
 public:
  void execute(std::unique_ptr<Work> work) override {
    ++calls;
    kept_.push_back(std::move(work));
  }
  void run_all() {
    for (const auto& work : kept_) work->run();
    kept_.clear();
  }
  int calls = 0;

 private:
  std::vector<std::unique_ptr<Work>> kept_;
};

TEST(Getaddrinfo, GivesNumericHostsWithoutAThread) {
  EventLoop loop;
  const auto executor = std::make_shared<CountingExecutor>();
  loop.set_default_executor(executor);
  loop.run_until_complete([&] {
    const auto ipv4 = await(loop.getaddrinfo("127.0.0.1", 80, {.type = SOCK_STREAM}));
    ASSERT_EQ(ipv4.size(), 1u);
    EXPECT_EQ(ipv4[0].family, AF_INET);
    EXPECT_EQ(ipv4[0].type, SOCK_STREAM);
    EXPECT_EQ(ipv4[0].protocol, IPPROTO_TCP);
    EXPECT_EQ(ipv4[0].address, SocketAddress("127.0.0.1", 80));
    const auto ipv6 = await(loop.getaddrinfo("::1", "53", {.type = SOCK_DGRAM}));
    EXPECT_EQ(ipv6.at(0).protocol, IPPROTO_UDP);
    EXPECT_EQ(ipv6.at(0).address, SocketAddress("::1", 53));
    EXPECT_EQ(await(loop.getaddrinfo("1.2.3.4", std::nullopt)).size(), 3u);
    EXPECT_EQ(await(loop.getaddrinfo("1.2.3.4", "", {.type = SOCK_STREAM})).at(0).address,
              SocketAddress("1.2.3.4", 0));
  });
  loop.run_until_complete([&]() -> Coro<> {
    const auto found = co_await loop.getaddrinfo("127.0.0.1", 80);
    EXPECT_EQ(found.size(), 3u);
  });
  EXPECT_EQ(executor->calls, 0);
  loop.close();
}

TEST(Getaddrinfo, LooksNamesUpOnTheExecutor) {
  run([]() -> Coro<> {
    EventLoop& loop = get_running_loop();
    const GetAddrInfoOptions ipv4{.family = AF_INET, .type = SOCK_STREAM, .flags = AI_CANONNAME};
    const auto found = co_await loop.getaddrinfo("localhost", "http", ipv4);
    EXPECT_EQ(found.at(0).address.port(), 80);
    EXPECT_EQ(found.at(0).address.family(), AF_INET);
    EXPECT_NE(found.at(0).canonname, "");
  }());
}

TEST(Getaddrinfo, OfNoHostIsThisMachine) {
  run([] {
    EventLoop& loop = get_running_loop();
    const auto loopback = await(loop.getaddrinfo(std::nullopt, 80, {.family = AF_INET, .type = SOCK_STREAM}));
    EXPECT_EQ(loopback.at(0).address, SocketAddress("127.0.0.1", 80));
    const auto any = await(
        loop.getaddrinfo(std::nullopt, 80, {.family = AF_INET, .type = SOCK_STREAM, .flags = AI_PASSIVE}));
    EXPECT_EQ(any.at(0).address, SocketAddress("0.0.0.0", 80));
  });
}

TEST(Getaddrinfo, SaysWhyANameCannotBeResolved) {
  run([] {
    EventLoop& loop = get_running_loop();
    const auto code_of = [&](std::optional<std::string> host, Service port, GetAddrInfoOptions options = {}) {
      try {
        await(loop.getaddrinfo(std::move(host), std::move(port), options));
      } catch (const gaierror& error) {
        return error.code();
      }
      return 0;
    };
    EXPECT_EQ(code_of("", 80), EAI_NONAME);
    EXPECT_EQ(code_of(std::nullopt, std::nullopt), EAI_NONAME);
    EXPECT_EQ(code_of("127.0.0.1", "no-such-service"), EAI_SERVICE);
    EXPECT_EQ(code_of("127.0.0.1", 80, {.family = 99}), EAI_FAMILY);
    EXPECT_EQ(code_of("name", 80, {.flags = AI_NUMERICHOST}), EAI_NONAME);
  });
  EXPECT_STREQ(gaierror(EAI_NONAME).what(), "[Errno -2] Name or service not known");
}

TEST(Getaddrinfo, RefusesWhatIsNoNameOrPort) {
  run([] {
    EventLoop& loop = get_running_loop();
    EXPECT_THROW(await(loop.getaddrinfo("a\0b"s, 80)), ValueError);
    EXPECT_THROW(await(loop.getaddrinfo("127.0.0.1\0"s, 80)), ValueError);
    EXPECT_THROW(await(loop.getaddrinfo("localhost", "a\0b"s)), ValueError);
    for (const int port : {-1, 65536, 1 << 30})
      EXPECT_THROW(await(loop.getaddrinfo("localhost", port)), ValueError);
    EXPECT_THROW(await(loop.getaddrinfo("localhost", "65536")), ValueError);
    EXPECT_THROW(await(loop.getaddrinfo("localhost", "99999999999999999999")), ValueError);
  });
}

TEST(Getaddrinfo, IsLeftAtOnceWhenCancelled) {
  EventLoop loop;
  const auto executor = std::make_shared<CountingExecutor>();
  loop.set_default_executor(executor);
  loop.run_until_complete([&] {
    auto on_stack = create_task([&] { await(loop.getaddrinfo("localhost", 80)); });
    auto without = create_task(loop.getaddrinfo("localhost", 80));
    wait_all_tasks_blocked();
    EXPECT_EQ(executor->calls, 2);
    on_stack.cancel();
    without.cancel();
    EXPECT_THROW(await(on_stack), CancelledError);
    EXPECT_THROW(await(without), CancelledError);
  });
  executor->run_all();
  loop.close();
}

TEST(Getaddrinfo, DoesNothingForALoopThatHasClosed) {
  auto loop = std::make_unique<EventLoop>();
  const auto executor = std::make_shared<CountingExecutor>();
  loop->set_default_executor(executor);
  loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});  // of tasks that are still pending
  loop->run_until_complete([&] {
    create_task(loop->getaddrinfo("localhost", 80)).detach();
    create_task([&] { await(loop->getnameinfo(SocketAddress("127.0.0.1", 80))); }).detach();
    wait_all_tasks_blocked();
  });
  loop->close();
  loop.reset();
  executor->run_all();
}

TEST(Getnameinfo, GivesNumbersWithoutAThread) {
  EventLoop loop;
  const auto executor = std::make_shared<CountingExecutor>();
  loop.set_default_executor(executor);
  const int numbers = NI_NUMERICHOST | NI_NUMERICSERV;
  loop.run_until_complete([&] {
    EXPECT_EQ(await(loop.getnameinfo(SocketAddress("::1", 80), numbers)), std::pair("::1"s, "80"s));
  });
  loop.run_until_complete([&]() -> Coro<> {
    const auto names = co_await loop.getnameinfo(SocketAddress("127.0.0.1", 80), numbers);
    EXPECT_EQ(names, std::pair("127.0.0.1"s, "80"s));
  });
  EXPECT_EQ(executor->calls, 0);
  loop.close();
}

TEST(Getnameinfo, LooksNamesUpOnTheExecutor) {
  run([] {
    EventLoop& loop = get_running_loop();
    EXPECT_EQ(await(loop.getnameinfo(SocketAddress("127.0.0.1", 80), NI_NUMERICHOST)).second, "http");
    EXPECT_THROW(await(loop.getnameinfo(SocketAddress())), gaierror);
    EXPECT_THROW(await(loop.getnameinfo(SocketAddress(), NI_NUMERICHOST | NI_NUMERICSERV)), gaierror);
  });
}

TEST(Service, ShowsItselfAsPythonDoes) {
  EXPECT_EQ(repr(Service(80)), "80");
  EXPECT_EQ(repr(Service("http")), "'http'");
  EXPECT_EQ(repr(Service(std::nullopt)), "None");
}

}  // namespace
}  // namespace aiofiber
