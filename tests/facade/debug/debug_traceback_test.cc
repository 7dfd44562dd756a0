// SPDX-License-Identifier: Apache-2.0
//
// Tracebacks of failed tasks: from the reporting task, through the tasks it awaited, to the throw. The
// program under test is in its own namespace, because stacks leave out frames of aiofiber.
// Labels: long
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"
#include "support/run_in_loop.h"

namespace app {

using namespace std::chrono_literals;
namespace aio = aiofiber;
using aio::await;

__attribute__((noinline)) int parse_port(const std::string& text) {
  const int port = std::stoi(text);
  asm volatile("");
  return port;
}
__attribute__((noinline)) void load_config() {
  await(aio::sleep(1ms));
  parse_port("http");
  asm volatile("");
}
__attribute__((noinline)) void start_server(aio::Task<> config) {
  await(config);
  asm volatile("" ::: "memory");
}
__attribute__((noinline)) void supervise(aio::Task<> server) {
  asm volatile("nop");  // else it is folded with start_server, and the traceback has the name of the other
  await(server);
  asm volatile("" ::: "memory");
}

// The functions of namespace app, without template arguments, outermost first.
std::vector<std::string> functions(const std::vector<aio::Frame>& frames) {
  std::vector<std::string> names;
  for (const aio::Frame& frame : frames) {
    if (frame.function.starts_with("app::") && frame.function.find("lambda") == std::string::npos)
      names.push_back(frame.function.substr(5));
  }
  return names;
}
using Names = std::vector<std::string>;

TEST(Traceback, LeadsFromTheSupervisorThroughItsChildrenToTheThrow) {
  aiofiber::run_in_loop([] {
    auto config = aio::create_task(load_config);
    auto server = aio::create_task(start_server, config);
    auto supervisor = aio::create_task(supervise, server);
    await(aio::wait({supervisor}));
    EXPECT_EQ(functions(supervisor.get_stack()),
              (Names{"supervise", "start_server", "load_config", "parse_port"}));
    EXPECT_EQ(functions(server.get_stack()), (Names{"start_server", "load_config", "parse_port"}));
    EXPECT_EQ(functions(config.get_stack()), (Names{"load_config", "parse_port"}));
    EXPECT_THROW(supervisor.result(), std::invalid_argument);
  });
}

TEST(Traceback, OfOneReaderDoesNotShowTheOther) {
  aiofiber::run_in_loop([] {
    auto config = aio::create_task(load_config);
    auto first = aio::create_task(start_server, config);
    auto second = aio::create_task(supervise, config);
    await(aio::wait({first, second}));
    EXPECT_EQ(functions(first.get_stack()), (Names{"start_server", "load_config", "parse_port"}));
    EXPECT_EQ(functions(second.get_stack()), (Names{"supervise", "load_config", "parse_port"}));
    EXPECT_NE(first.exception(), nullptr);
    EXPECT_NE(second.exception(), nullptr);
  });
}

__attribute__((noinline)) void gather_both() {
  await(aio::gather(load_config, [] { await(aio::sleep(1h)); }));
  asm volatile("");
}

TEST(Traceback, GoesThroughGather) {
  aiofiber::run_in_loop([] {
    auto task = aio::create_task(gather_both);
    await(aio::wait({task}));
    EXPECT_EQ(functions(task.get_stack()), (Names{"gather_both", "load_config", "parse_port"}));
    EXPECT_NE(task.exception(), nullptr);
    for (auto& other : aio::all_tasks()) {
      if (other != aio::current_task()) other.cancel();
    }
    await(aio::sleep(1ms));
  });
}

__attribute__((noinline)) void read(aio::Future<int> future) {
  await(future);
  asm volatile("");
}

TEST(Traceback, OfAnExceptionThatWasSetBeginsAtTheAwait) {
  aiofiber::run_in_loop([] {
    auto future = aio::get_running_loop().create_future<int>();
    auto task = aio::create_task(read, future);
    await(aio::sleep(1ms));
    future.set_exception(std::runtime_error("set"));
    await(aio::wait({task}));
    EXPECT_EQ(functions(task.get_stack()), Names{"read"});
    EXPECT_NE(task.exception(), nullptr);
  });
}

TEST(Traceback, IsInTheReportOfAnExceptionThatNobodyRetrieved) {
  std::string log;
  aio::set_log_sink([&](aio::LogLevel, std::string_view text) { log = text; });
  aiofiber::run_in_loop([] {
    auto config = aio::create_task(load_config);
    auto server = aio::create_task(start_server, config);
    await(aio::sleep(1s));
  });
  aio::set_log_sink({});
  EXPECT_TRUE(log.starts_with("Task exception was never retrieved\nfuture: <Task finished ")) << log;
  const std::size_t begin = log.find("\nTraceback (most recent call last):\n  File \"");
  ASSERT_NE(begin, std::string::npos) << log;
  EXPECT_LT(log.find("in app::start_server\n    await(config);\n", begin),
            log.find("in app::parse_port\n", begin))
      << log;
  EXPECT_TRUE(log.ends_with("\nstd::invalid_argument: stoi")) << log;
}

TEST(Traceback, FoldsRecursion) {
  struct Recursion {
    __attribute__((noinline)) static void descend(int depth) {
      if (depth == 0) throw std::runtime_error("deep");
      descend(depth - 1);
      asm volatile("");
    }
  };
  aiofiber::run_in_loop([] {
    auto task = aio::create_task([] { Recursion::descend(20); });
    await(aio::wait({task}));
    std::ostringstream out;
    task.print_stack(std::nullopt, &out);
    EXPECT_NE(out.str().find("  [Previous line repeated 17 more times]\n"), std::string::npos) << out.str();
    EXPECT_NE(task.exception(), nullptr);
  });
}

}  // namespace app
