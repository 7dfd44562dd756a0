// SPDX-License-Identifier: Apache-2.0
//
// Servers on several loops: one port for all of them, and groups of servers, whose acceptor gives each of
// them a connection in turn. The seats of a group are tested by themselves too, in one thread. Labels:
// threads
// Labels: long
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/runtime/engine/syscall.h"
#include "streams/server_group.h"
#include "support/descriptors.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

// Answers each line, in the loop of its server.
struct Answering {
  std::atomic<int>& lines;
  void operator()(StreamReader reader, StreamWriter writer) const {
    EventLoop* const loop = &get_running_loop();
    for (const std::string& line : reader) {
      EXPECT_EQ(loop, &get_running_loop());
      ++lines;
      writer.write("got " + line);
      await(writer.drain());
    }
    writer.close();
  }
};

void talk(int port, int number) {
  auto [reader, writer] = await(open_connection("127.0.0.1", port));
  const std::string line = std::to_string(number) + "\n";
  for (int i = 0; i < 3; ++i) {
    writer.write(line);
    EXPECT_EQ(await(reader.readline()), "got " + line);
  }
  writer.close();
  await(writer.wait_closed());
}

TEST(ServersOfWorkers, ShareAPort) {
  constexpr int kClients = 100;
  Channel<int> port(1), second_serves(1), done(1);
  std::atomic<int> lines = 0;
  run_workers(
      [&](Worker& worker) {
        const bool is_first = worker.index() == 0;
        const int wanted = is_first ? 0 : await(port.get());
        Server server = await(start_server(Answering{lines}, "127.0.0.1", wanted, {.reuse_port = true}));
        if (is_first) {
          const int number = server.sockets().at(0).port();
          await(port.put(number));
          await(second_serves.get());
          std::vector<Task<>> clients;
          for (int i = 0; i < kClients; ++i) clients.push_back(create_task(talk, number, i));
          await(gather(clients));
          done.shutdown();
        } else {
          await(second_serves.put(1));
          EXPECT_THROW(await(done.get()), QueueShutDown);
        }
        server.close();
        await(server.wait_closed());
      },
      {.loops = 2});
  EXPECT_EQ(lines.load(), 3 * kClients);
}

TEST(ServersOfWorkers, EndWithTheFirstFailure) {
  Channel<int> ready(2);
  EXPECT_THROW(run_workers(
                   [&](Worker& worker) {
                     std::atomic<int> lines = 0;
                     Server server = await(start_server(Answering{lines}, "127.0.0.1", 0));
                     if (worker.index() == 1) {
                       await(ready.put(1));
                       await(server.serve_forever());
                     }
                     await(ready.get());
                     throw ValueError("the first one fails");
                   },
                   {.loops = 2}),
               ValueError);
}

// ---- groups -----------------------------------------------------------------------------------------------

std::string abstract_name(const char* test) {
  return std::string(1, '\0') + "aiofiber-" + test + "-" + std::to_string(::getpid());
}

// Says which loop serves the connection, then echoes lines.
template <class Name>
struct Named {
  Name name;
  void operator()(StreamReader reader, StreamWriter writer) const {
    writer.write(std::to_string(name) + "\n");
    for (const std::string& line : reader) writer.write(line);
    writer.close();
  }
};
// The same in a task without a stack.
struct NamedCoroutine {
  std::size_t name;
  Coro<void> operator()(StreamReader reader, StreamWriter writer) const {
    return serve(name, std::move(reader), std::move(writer));
  }
  static Coro<void> serve(std::size_t name, StreamReader reader, StreamWriter writer) {
    writer.write(std::to_string(name) + "\n");
    for (;;) {
      const std::string line = co_await reader.readline();
      if (line.empty()) break;
      writer.write(line);
      co_await writer.drain();
    }
    writer.close();
  }
};

// A client: which server greets it. It is served to the end.
std::string greeting(std::pair<StreamReader, StreamWriter> connection) {
  auto& [reader, writer] = connection;
  std::string name = await(reader.readline());
  writer.write("echo\n");
  EXPECT_EQ(await(reader.readline()), "echo\n");
  writer.close();
  await(writer.wait_closed());
  if (!name.empty()) name.pop_back();
  return name;
}
std::map<std::string, int> greetings_at(int port, int clients) {
  std::vector<Task<std::string>> tasks;
  for (int i = 0; i < clients; ++i)
    tasks.push_back(create_task([port] { return greeting(await(open_connection("127.0.0.1", port))); }));
  std::map<std::string, int> counts;
  for (const std::string& name : await(gather(tasks))) ++counts[name];
  return counts;
}

using Counts = std::map<std::string, int>;

TEST(ServerGroups, GiveEachLoopAConnectionInTurn) {
  const std::string path = abstract_name("turns");
  const ServerGroup group;
  Channel<int> serving(3), end(1);
  std::atomic<EventLoop*> loops[3] = {};
  run_workers(
      [&](Worker& worker) {
        loops[worker.index()] = &worker.loop();
        const StartServerOptions options{.group = group};
        // Functions and coroutines; all see the loop of their own server.
        const auto serve = [&, index = worker.index()](StreamReader reader, StreamWriter writer) {
          EXPECT_EQ(&get_running_loop(), loops[index].load());
          Named<std::size_t>{index}(std::move(reader), std::move(writer));
        };
        Server server = worker.index() == 1 ? await(start_unix_server(NamedCoroutine{1}, path, options))
                                            : await(start_unix_server(serve, path, options));
        EXPECT_TRUE(server.is_serving());
        EXPECT_EQ(server.sockets().at(0).getsockname().path(), path);
        await(serving.put(1));
        if (worker.index() == 0) {
          for (int i = 0; i < 3; ++i) await(serving.get());
          Counts counts;
          for (int i = 0; i < 99; ++i) ++counts[greeting(await(open_unix_connection(path)))];
          EXPECT_EQ(counts, (Counts{{"0", 33}, {"1", 33}, {"2", 33}}));
          end.shutdown();
        }
        EXPECT_THROW(await(end.get()), QueueShutDown);
        server.close();
        await(server.wait_closed());
      },
      {.loops = 3});
}

TEST(ServerGroups, ShareThePortThatTheFirstHasGot) {
  const ServerGroup group;
  Channel<int> ports(2), end(1);
  run_workers(
      [&](Worker& worker) {
        const StartServerOptions options{.group = group};
        Server server = await(start_server(Named<std::size_t>{worker.index()}, "127.0.0.1", 0, options));
        await(ports.put(server.sockets().at(0).port()));
        if (worker.index() == 0) {
          const int port = await(ports.get());
          EXPECT_EQ(await(ports.get()), port);
          EXPECT_EQ(greetings_at(port, 60), (Counts{{"0", 30}, {"1", 30}}));
          end.shutdown();
        }
        EXPECT_THROW(await(end.get()), QueueShutDown);
        await(server.with([] {}));
      },
      {.loops = 2});
}

// The servers close one after the other while clients come, the accepting one first. No client is lost.
TEST(ServerGroups, LoseNobodyWhenTheirServersCloseInTurn) {
  constexpr std::size_t kLoops = 3;
  const ServerGroup group;
  Channel<int> started(kLoops), close[kLoops] = {Channel<int>(1), Channel<int>(1), Channel<int>(1)};
  std::atomic<int> port = 0;
  const auto serve = [&](Worker& worker) {
    const std::size_t index = worker.index();
    if (index > 0) await(close[index].get());  // the first begins, so it accepts
    const StartServerOptions options{.group = group};
    Server server = await(start_server(Named<std::size_t>{index}, "127.0.0.1", 0, options));
    port = server.sockets().at(0).port();
    await(started.put(1));
    await(close[index].get());
    server.close();
    await(server.wait_closed());
  };
  const auto clients = [&] {
    await(started.get());
    for (std::size_t i = 1; i < kLoops; ++i) await(close[i].put(1));
    for (std::size_t i = 1; i < kLoops; ++i) await(started.get());
    std::vector<Task<Counts>> waves;
    for (std::size_t i = 0; i < kLoops; ++i) {
      waves.push_back(create_task([&port] { return greetings_at(port, 40); }));
      await(sleep(std::chrono::milliseconds(1)));
      if (i + 1 < kLoops) await(close[i].put(1));
    }
    int served = 0;
    for (const Counts& counts : await(gather(waves))) {
      for (const auto& [name, count] : counts) {
        EXPECT_FALSE(name.empty());
        served += count;
      }
    }
    EXPECT_EQ(served, 40 * static_cast<int>(kLoops));
    EXPECT_EQ(greetings_at(port, 3), (Counts{{"2", 3}}));  // the last one is alone
    await(close[kLoops - 1].put(1));
  };
  std::thread client_thread([&] { run(clients); });
  run_workers(serve, {.loops = kLoops});
  client_thread.join();
}

// A loop that ends without closing its server is no member any more.
TEST(ServerGroups, GoOnWithoutALoopThatHasEnded) {
  const ServerGroup group;
  const StartServerOptions options{.group = group};
  Channel<int> started(1), end(1);
  std::thread first([&] {
    run([&] {
      Server server = await(start_server(Named<int>{1}, "127.0.0.1", 0, options));
      await(started.put(server.sockets().at(0).port()));
      await(end.get());
    });
  });
  run([&] {
    const int port = await(started.get());
    Server server = await(start_server(Named<int>{2}, "127.0.0.1", 0, options));
    EXPECT_EQ(server.sockets().at(0).port(), port);
    EXPECT_EQ(greetings_at(port, 4), (Counts{{"1", 2}, {"2", 2}}));
    await(end.put(1));
    await(to_thread([&] { first.join(); }));
    EXPECT_EQ(greetings_at(port, 4), (Counts{{"2", 4}}));
    await(server.with([] {}));
  });
}

TEST(ServerGroups, EndWithTheFirstFailure) {
  const ServerGroup group;
  Channel<int> ready(1);
  EXPECT_THROW(run_workers(
                   [&](Worker& worker) {
                     const StartServerOptions options{.group = group};
                     Server server = await(start_server(Named<int>{0}, "127.0.0.1", 0, options));
                     if (worker.index() == 1) {
                       await(ready.put(1));
                       await(server.serve_forever());
                     }
                     await(ready.get());
                     throw ValueError("the first one fails");
                   },
                   {.loops = 2}),
               ValueError);
}

// A group in one loop: all its servers are there, so what happens is in one order.
TEST(ServerGroups, BeginAgainWhenTheLastServerHasClosed) {
  run_in_loop([] {
    const ServerGroup group;
    const StartServerOptions options{.group = group};
    for (int round = 0; round < 2; ++round) {
      Server one = await(start_server(Named<int>{1}, "127.0.0.1", 0, options));
      Server two = await(start_server(Named<int>{2}, "127.0.0.1", 0, options));
      const int port = one.sockets().at(0).port();
      EXPECT_EQ(greetings_at(port, 6), (Counts{{"1", 3}, {"2", 3}}));
      await(one.with([] {}));
      EXPECT_EQ(greetings_at(port, 2), (Counts{{"2", 2}}));
      await(two.with([] {}));
      EXPECT_THROW(await(open_connection("127.0.0.1", port)), std::system_error);
    }
  });
}

TEST(ServerGroups, ServeWhoWasAcceptedBeforeTheClose) {
  for (int passes = 0; passes < 12; ++passes) {
    for (const bool closes_acceptor : {false, true}) {
      run_in_loop([passes, closes_acceptor] {
        const ServerGroup group;
        const StartServerOptions options{.group = group};
        Server one = await(start_server(Named<int>{1}, "127.0.0.1", 0, options));
        Server two = await(start_server(Named<int>{2}, "127.0.0.1", 0, options));
        const int port = one.sockets().at(0).port();
        std::vector<Task<std::string>> clients;
        for (int i = 0; i < 6; ++i)
          clients.push_back(
              create_task([port] { return greeting(await(open_connection("127.0.0.1", port))); }));
        for (int pass = 0; pass < passes; ++pass) await(sleep(Duration()));
        const Server& first = closes_acceptor ? one : two;
        first.close();
        for (const std::string& name : await(gather(clients)))
          EXPECT_TRUE(name == "1" || name == "2") << name;
        await(first.wait_closed());
        await((closes_acceptor ? two : one).with([] {}));
      });
    }
  }
}

TEST(ServerGroups, WaitWithStartServing) {
  run_in_loop([] {
    const ServerGroup group;
    const StartServerOptions at_once{.group = group};
    const StartServerOptions later{.start_serving = false, .group = group};
    Server two = await(start_server(Named<int>{2}, "127.0.0.1", 0, later));
    EXPECT_FALSE(two.is_serving());
    Server one = await(start_server(Named<int>{1}, "127.0.0.1", 0, at_once));
    const int port = two.sockets().at(0).port();
    EXPECT_EQ(greetings_at(port, 2), (Counts{{"1", 2}}));
    await(two.start_serving());
    EXPECT_EQ(greetings_at(port, 2), (Counts{{"1", 1}, {"2", 1}}));
    await(two.with([] {}));
    EXPECT_THROW(await(two.start_serving()), RuntimeError);
    EXPECT_EQ(greetings_at(port, 2), (Counts{{"1", 2}}));
    await(one.with([] {}));
  });
}

TEST(ServerGroups, AreAsBeforeAfterAnAddressThatCannotBeBound) {
  run_in_loop([] {
    const ServerGroup group;
    const StartServerOptions options{.group = group};
    Server other = await(start_server(Named<int>{0}, "127.0.0.1", 0));
    EXPECT_THROW(await(start_server(Named<int>{1}, "127.0.0.1", other.sockets().at(0).port(), options)),
                 std::system_error);
    Server server = await(start_server(Named<int>{2}, "127.0.0.1", 0, options));
    EXPECT_EQ(greetings_at(server.sockets().at(0).port(), 2), (Counts{{"2", 2}}));
    await(other.with([] {}));
    await(server.with([] {}));
  });
}

TEST(ServerGroups, TakeASocketThatIsBoundAndLeaveNoDescriptor) {
  run_in_loop([] {});
  const std::size_t before = open_descriptors().size();
  run_in_loop([] {
    const ServerGroup group;
    const StartServerOptions options{.group = group};
    const auto bound = [] {
      Socket socket(AF_INET, SOCK_STREAM);
      const SocketAddress any("127.0.0.1", 0);
      EXPECT_EQ(::bind(socket.fd(), any.data(), any.size()), 0);
      return socket;
    };
    Server one = await(start_server(Named<int>{1}, bound(), options));
    Server two = await(start_server(Named<int>{2}, bound(), options));
    EXPECT_EQ(one.sockets().at(0).port(), two.sockets().at(0).port());
    EXPECT_EQ(greetings_at(one.sockets().at(0).port(), 4), (Counts{{"1", 2}, {"2", 2}}));
    await(one.with([] {}));
    await(two.with([] {}));
  });
  EXPECT_EQ(open_descriptors().size(), before);
}

struct NotedCalls final : detail::SeatedServer {
  int calls = 0;
  void seat_called() noexcept override { ++calls; }
};

// accept() of the thread has no descriptor for a client while it lives and is_short.
class NoDescriptor final : public runtime::FaultPlan {
 public:
  NoDescriptor() { runtime::current_fault_plan = this; }
  ~NoDescriptor() override { runtime::current_fault_plan = nullptr; }
  int fail(const char* call) noexcept override {
    return is_short && std::string_view(call) == "accept4" ? EMFILE : 0;
  }
  bool is_short = true;
};
// Counts what the loop is told, and expects that it is the shortage.
class Shortages {
 public:
  Shortages() {
    get_running_loop().set_exception_handler([this](EventLoop&, const ExceptionContext& context) {
      EXPECT_EQ(context.message, "socket.accept() out of system resource");
      ++count;
    });
  }
  ~Shortages() { get_running_loop().set_exception_handler(nullptr); }
  Shortages(const Shortages&) = delete;
  Shortages& operator=(const Shortages&) = delete;
  int count = 0;
};
std::uint64_t passes_of_loop() { return static_cast<testing::TestLoop&>(get_running_loop()).iteration(); }
// The kernel connects them: no server has accepted them yet.
std::vector<Socket> clients_that_wait(int port, int count) {
  std::vector<Socket> clients;
  const SocketAddress address("127.0.0.1", port);
  for (int i = 0; i < count; ++i) {
    clients.emplace_back(AF_INET, SOCK_STREAM);
    ::connect(clients.back().fd(), address.data(), address.size());
  }
  return clients;
}
Counts greetings_of(const std::vector<Socket>& clients) {
  Counts counts;
  for (const Socket& client : clients) ++counts[greeting(await(open_connection(client)))];
  return counts;
}

TEST(ServerGroups, PauseWhileThereIsNoDescriptorAndLoseNobody) {
  run_in_loop([] {
    const ServerGroup group;
    const StartServerOptions options{.group = group};
    Server one = await(start_server(Named<int>{1}, "127.0.0.1", 0, options));
    Server two = await(start_server(Named<int>{2}, "127.0.0.1", 0, options));
    const int port = one.sockets().at(0).port();
    Shortages shortages;
    NoDescriptor plan;
    const std::vector<Socket> clients = clients_that_wait(port, 6);
    const std::uint64_t begun = passes_of_loop();
    await(sleep(2500ms));
    EXPECT_EQ(shortages.count, 3);
    EXPECT_LT(passes_of_loop() - begun, 20u);
    plan.is_short = false;
    EXPECT_EQ(greetings_of(clients), (Counts{{"1", 3}, {"2", 3}}));
    EXPECT_EQ(greetings_at(port, 4), (Counts{{"1", 2}, {"2", 2}}));
    EXPECT_EQ(shortages.count, 3);
    await(one.with([] {}));
    await(two.with([] {}));
  });
}

// The one that pauses closes: the next one accepts at once.
TEST(ServerGroups, GoOnWithoutTheAcceptorThatPauses) {
  run_in_loop([] {
    const ServerGroup group;
    const StartServerOptions options{.group = group};
    Server one = await(start_server(Named<int>{1}, "127.0.0.1", 0, options));
    Server two = await(start_server(Named<int>{2}, "127.0.0.1", 0, options));
    const int port = one.sockets().at(0).port();
    Shortages shortages;
    NoDescriptor plan;
    const std::vector<Socket> clients = clients_that_wait(port, 3);
    await(sleep(500ms));
    EXPECT_EQ(shortages.count, 1);
    plan.is_short = false;
    const TimePoint begun = get_running_loop().time();
    await(one.with([] {}));
    EXPECT_EQ(greetings_of(clients), (Counts{{"2", 3}}));
    EXPECT_LT(get_running_loop().time() - begun, 400ms);
    await(two.with([] {}));
  });
}

// What a server that leaves hands over is taken at once, and does not end the pause.
TEST(ServerGroups, TakeWhatIsGivenWhileTheyPause) {
  run_in_loop([] {
    const ServerGroup group;
    const StartServerOptions options{.group = group};
    Server one = await(start_server(Named<int>{1}, "127.0.0.1", 0, options));
    const int port = one.sockets().at(0).port();
    detail::ListeningSockets unused;
    const auto leaving = group.state()->take_seat(get_running_loop().core(), {}, unused);
    NotedCalls nobody;
    leaving->serve(nobody);
    const std::vector<Socket> first = clients_that_wait(port, 2);
    EXPECT_EQ(greeting(await(open_connection(first.at(0)))), "1");
    Shortages shortages;
    NoDescriptor plan;
    const std::vector<Socket> second = clients_that_wait(port, 1);
    await(sleep(500ms));
    EXPECT_EQ(shortages.count, 1);
    leaving->leave();
    EXPECT_EQ(greeting(await(open_connection(first.at(1)))), "1");
    await(sleep(300ms));
    EXPECT_EQ(shortages.count, 1);
    plan.is_short = false;
    EXPECT_EQ(greeting(await(open_connection(second.at(0)))), "1");
    EXPECT_EQ(shortages.count, 1);
    await(one.with([] {}));
  });
}

// The acceptor's socket is closed behind its back, by a program that knows the number.
TEST(ServerGroups, GoOnWhenTheAcceptorsSocketIsGone) {
  run_in_loop([] {
    const ServerGroup group;
    const StartServerOptions options{.group = group};
    Server one = await(start_server(Named<int>{1}, "127.0.0.1", 0, options));
    Server two = await(start_server(Named<int>{2}, "127.0.0.1", 0, options));
    const int port = one.sockets().at(0).port();
    EXPECT_EQ(greetings_at(port, 2), (Counts{{"1", 1}, {"2", 1}}));
    int reports = 0;
    get_running_loop().set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
      EXPECT_THROW(std::rethrow_exception(context.exception), std::system_error);
      ++reports;
    });
    one.sockets().at(0).close();
    EXPECT_EQ(greetings_at(port, 4), (Counts{{"2", 4}}));
    EXPECT_EQ(reports, 1);
    await(one.with([] {}));
    await(two.with([] {}));
  });
}

// ---- seats ------------------------------------------------------------------------------------------------

struct Seat {
  Seat(const ServerGroup& group, Socket socket = {}) {
    const auto make = [&socket] { return detail::ListeningSockets{{socket}}; };
    detail::ListeningSockets listening;
    seat = group.state()->take_seat(get_running_loop().core(), make, listening);
    sockets = std::move(listening.sockets);
  }
  std::vector<Socket> sockets;
  std::shared_ptr<detail::GroupSeat> seat;
  NotedCalls noted;
};
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }
int some_descriptor() { return ::fcntl(0, F_DUPFD_CLOEXEC, 0); }

TEST(GroupSeats, GiveInTurnAndCallOnce) {
  run_in_loop([] {
    const ServerGroup group;
    Seat one(group, Socket(AF_INET, SOCK_STREAM)), two(group), three(group);
    EXPECT_FALSE(one.seat->accepts());
    one.seat->serve(one.noted);
    two.seat->serve(two.noted);
    three.seat->serve(three.noted);
    EXPECT_TRUE(one.seat->accepts());
    EXPECT_FALSE(two.seat->accepts());
    EXPECT_FALSE(one.seat->give(100));  // its own turn
    EXPECT_TRUE(one.seat->give(101));
    EXPECT_TRUE(one.seat->give(102));
    EXPECT_FALSE(one.seat->give(103));
    EXPECT_TRUE(one.seat->give(104));
    await(sleep(Duration()));  // what is posted is seen in the next pass
    await(sleep(Duration()));
    EXPECT_EQ(two.noted.calls, 1);
    EXPECT_EQ(three.noted.calls, 1);
    EXPECT_EQ(two.seat->next_connection(), 101);
    EXPECT_EQ(two.seat->next_connection(), 104);
    EXPECT_EQ(two.seat->next_connection(), -1);
    EXPECT_EQ(three.seat->next_connection(), 102);
    EXPECT_EQ(one.seat->next_connection(), -1);
  });
}

TEST(GroupSeats, PassOnAcceptingAndWhatWasGiven) {
  run_in_loop([] {
    const ServerGroup group;
    Seat one(group, Socket(AF_INET, SOCK_STREAM)), two(group), three(group);
    for (Seat* each : {&one, &two, &three}) each->seat->serve(each->noted);
    EXPECT_FALSE(one.seat->give(100));
    const int given = some_descriptor();
    EXPECT_TRUE(one.seat->give(given));  // to two
    one.seat->rest();
    EXPECT_TRUE(two.seat->accepts());
    two.seat->leave();
    EXPECT_TRUE(three.seat->accepts());
    EXPECT_EQ(two.seat->next_connection(), -1);
    await(sleep(Duration()));  // what is posted is seen in the next pass
    await(sleep(Duration()));
    EXPECT_EQ(two.noted.calls, 0);  // it has left before
    EXPECT_EQ(three.noted.calls, 1);
    EXPECT_EQ(three.seat->next_connection(), given);
    EXPECT_TRUE(is_open(given));
    ::close(given);
  });
}

TEST(GroupSeats, CloseWhatNobodyTakes) {
  run_in_loop([] {
    const ServerGroup group;
    Seat one(group, Socket(AF_INET, SOCK_STREAM)), two(group);
    one.seat->serve(one.noted);
    two.seat->serve(two.noted);
    EXPECT_FALSE(one.seat->give(100));
    const int given = some_descriptor();
    EXPECT_TRUE(one.seat->give(given));
    one.seat->leave();
    two.seat->leave();
    two.seat->leave();
    EXPECT_FALSE(is_open(given));
  });
}

TEST(GroupSeats, LeaveWithoutSocketsOnAnError) {
  run_in_loop([] {
    const ServerGroup group;
    detail::ListeningSockets none;
    const auto failing = []() -> detail::ListeningSockets { throw ValueError("no socket"); };
    detail::LoopCore& core = get_running_loop().core();
    EXPECT_THROW(static_cast<void>(group.state()->take_seat(core, failing, none)), ValueError);
    Seat one(group, Socket(AF_INET, SOCK_STREAM));
    EXPECT_EQ(one.sockets.size(), 1u);
    Seat two(group);
    EXPECT_EQ(two.sockets.size(), 1u);
    EXPECT_NE(one.sockets.at(0).fd(), two.sockets.at(0).fd());
  });
}

}  // namespace
}  // namespace aiofiber
