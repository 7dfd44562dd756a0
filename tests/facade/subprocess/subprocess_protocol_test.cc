// SPDX-License-Identifier: Apache-2.0
//
// loop.subprocess_exec() and subprocess_shell(): the order of a protocol's calls, errors, closing.
//
// Labels: long
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <vector>

#include "aiofiber/asyncio.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using subprocess::PIPE;

struct Notes : SubprocessProtocol {
  void connection_made(SubprocessTransport its_transport) override {
    transport = its_transport;
    calls += "made ";
  }
  void pipe_data_received(int fd, std::string_view data) override {
    received[static_cast<std::size_t>(fd)] += data;
  }
  void pipe_connection_lost(int fd, std::exception_ptr) override { calls += std::to_string(fd) + " "; }
  void process_exited() override { calls += "exited "; }
  void connection_lost(std::exception_ptr) override {
    calls += "lost";
    lost.set_result();
  }
  SubprocessTransport transport;
  std::string calls;
  std::string received[3];
  Future<void> lost = get_running_loop().create_future<void>();
};
std::shared_ptr<Notes> make_notes() { return std::make_shared<Notes>(); }

TEST(SubprocessProtocol, HearsOfEverything) {
  run([] {
    auto [transport, protocol] =
        await(get_running_loop().subprocess_shell(make_notes, "cat; echo end >&2; exit 3"));
    EXPECT_EQ(protocol->calls, "made ");
    EXPECT_EQ(protocol->transport, transport);
    EXPECT_GT(transport.get_pid(), 0);
    EXPECT_FALSE(transport.get_pipe_transport(7).valid());
    transport.get_pipe_transport(0).write("text");
    transport.get_pipe_transport(0).close();
    await(protocol->lost);
    EXPECT_EQ(protocol->received[1], "text");
    EXPECT_EQ(protocol->received[2], "end\n");
    EXPECT_EQ(transport.get_returncode(), 3);
    EXPECT_EQ(protocol->calls.substr(0, 5), "made ");
    EXPECT_NE(protocol->calls.find("exited"), std::string::npos);
    EXPECT_EQ(protocol->calls.substr(protocol->calls.size() - 4), "lost");
    EXPECT_THROW(transport.kill(), std::system_error);
  });
}

TEST(SubprocessProtocol, WithoutPipesHearsOfTheEnd) {
  run([] {
    auto [transport, protocol] =
        await(get_running_loop().subprocess_exec(make_notes, {"true"}, SubprocessOptions()));
    await(protocol->lost);
    EXPECT_EQ(protocol->calls, "made exited lost");
  });
}

TEST(SubprocessProtocol, CloseKillsTheChild) {
  run([] {
    auto [transport, protocol] = await(get_running_loop().subprocess_exec(make_notes, {"sleep", "60"}));
    transport.close();
    transport.close();
    EXPECT_TRUE(transport.is_closing());
    await(protocol->lost);
    EXPECT_EQ(transport.get_returncode(), -SIGKILL);
  });
}

TEST(SubprocessProtocol, MayCloseInConnectionMade) {
  struct Closes : Notes {
    void connection_made(SubprocessTransport its_transport) override {
      Notes::connection_made(its_transport);
      its_transport.close();
    }
  };
  run([] {
    auto [transport, protocol] =
        await(get_running_loop().subprocess_exec([] { return std::make_shared<Closes>(); }, {"sleep", "60"}));
    await(protocol->lost);
    EXPECT_EQ(protocol->calls.substr(protocol->calls.size() - 4), "lost");
  });
}

TEST(SubprocessProtocol, ThatThrowsIsReported) {
  struct Fails : Notes {
    void process_exited() override { throw ValueError("boom"); }
  };
  EventLoop loop;
  std::string message;
  loop.set_exception_handler([&](EventLoop&, const ExceptionContext& context) { message = context.message; });
  loop.run_until_complete([] {
    auto [transport, protocol] =
        await(get_running_loop().subprocess_exec([] { return std::make_shared<Fails>(); }, {"true"}));
    await(protocol->lost);
  });
  EXPECT_EQ(message, "Exception in SubprocessProtocol.process_exited()");
  loop.close();
}

TEST(SubprocessProtocol, GivesTheErrorsOfTheStart) {
  run([] {
    EXPECT_THROW(await(get_running_loop().subprocess_exec(make_notes, {"no-such-program-here"})),
                 std::system_error);
    EXPECT_THROW(await(get_running_loop().subprocess_exec([] { return std::shared_ptr<Notes>(); }, {"true"})),
                 TypeError);
  });
}

TEST(SubprocessProtocol, CancelledStartKillsTheChild) {
  run([] {
    auto task = create_task([] { await(get_running_loop().subprocess_exec(make_notes, {"sleep", "60"})); });
    await(sleep(0s));
    task.cancel();
    await(wait({task}));
    EXPECT_TRUE(task.cancelled());
    siginfo_t info;
    while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0) await(sleep(1ms));
  });
}

TEST(SubprocessProtocol, IsLetGoByAClosingLoop) {
  std::weak_ptr<Notes> protocol;
  SubprocessTransport transport;
  set_log_sink([](LogLevel, std::string_view) {});
  run([&] {
    auto made = await(get_running_loop().subprocess_exec(make_notes, {"sleep", "60"}));
    transport = made.first;
    protocol = made.second;
  });
  set_log_sink(nullptr);
  EXPECT_TRUE(protocol.expired());
  EXPECT_EQ(transport.get_returncode(), -SIGKILL);
  transport.close();
}

}  // namespace
}  // namespace aiofiber
