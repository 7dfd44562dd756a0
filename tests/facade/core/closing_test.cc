// SPDX-License-Identifier: Apache-2.0
//
// Closing a loop that has unfinished work. Closing always ends, for any frames of tasks and any destructors
// of the program. A task that cannot be unwound is named in a report. Waiting threads get an error.
// Labels: threads long
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <latch>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/testing.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

// The log, instead of stderr, while it lives.
class Log {
 public:
  Log() {
    set_log_sink([this](LogLevel, std::string_view text) { text_ += std::string(text) + "\n"; });
  }
  ~Log() { set_log_sink(nullptr); }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  std::size_t count(std::string_view part) const {
    std::size_t found = 0;
    for (std::size_t at = text_.find(part); at != std::string::npos; at = text_.find(part, at + 1)) ++found;
    return found;
  }

 private:
  std::string text_;
};

// Closes a loop over a task that has run `body` up to its first wait. The log, and the task.
template <class F>
Task<> close_over(F body, const Log&) {
  EventLoop loop;
  Task<> task = loop.create_task({.name = "stubborn"}, std::move(body));
  loop.run_until_complete([] { await(sleep(0s)); });
  loop.close();
  EXPECT_TRUE(loop.is_closed());
  return task;
}

struct AwaitsWhenDestroyed {
  ~AwaitsWhenDestroyed() { await(sleep(1ms)); }
};
[[gnu::noinline]] void sleep_without_throwing() noexcept { await(sleep(1h)); }

TEST(Close, AbandonsATaskWhoseDestructorAwaits) {
  const Log log;
  static_cast<void>(close_over(
      [] {
        const AwaitsWhenDestroyed goodbye;
        await(sleep(1h));
      },
      log));
  EXPECT_EQ(log.count("task 'stubborn' was abandoned"), 1u);
}

TEST(Close, AbandonsATaskThatSleepsInANoexceptFunction) {
  const Log log;
  static_cast<void>(close_over([] { sleep_without_throwing(); }, log));
  static_cast<void>(close_over([]() noexcept { await(sleep(1h)); }, log));
  EXPECT_EQ(log.count("task 'stubborn' was abandoned"), 2u);
}

TEST(Close, AbandonsATaskWithATimeLimitInANoexceptFunction) {
  const Log log;
  static_cast<void>(close_over([]() noexcept { await(timeout(1h, [] { await(sleep(2h)); })); }, log));
  EXPECT_EQ(log.count("task 'stubborn' was abandoned"), 1u);
}

TEST(Close, AbandonsATaskThatCatchesEverythingAndGoesOn) {
  const Log log;
  bool waits_for_future = false;
  for (int i = 0; i < 2; ++i, waits_for_future = true) {
    static_cast<void>(close_over(
        [waits_for_future] {
          for (;;) {
            try {
              if (waits_for_future) {
                await(get_running_loop().create_future<>());
              } else {
                await(sleep(1h));
              }
            } catch (...) {
            }
          }
        },
        log));
  }
  EXPECT_EQ(log.count("task 'stubborn' was abandoned"), 2u);
}

TEST(Close, UnwindsATaskThatCatchesEverythingSeveralTimes) {
  const Log log;
  int caught = 0;
  bool ended = false;
  static_cast<void>(close_over(
      [&] {
        for (int i = 0; i < 20; ++i) {
          try {
            await(sleep(1h));
          } catch (...) {
            ++caught;
          }
        }
        ended = true;
      },
      log));
  EXPECT_EQ(caught, 20);
  EXPECT_TRUE(ended);
  EXPECT_EQ(log.count("abandoned"), 0u);
}

TEST(Close, LetsADestructorAwaitThatCatchesEverything) {
  struct Careful {
    explicit Careful(bool& flag) : went_on(flag) {}
    ~Careful() {
      try {
        await(sleep(1ms));
      } catch (...) {
      }
      went_on = true;
    }
    bool& went_on;
  };
  const Log log;
  bool went_on = false;
  static_cast<void>(close_over(
      [&] {
        const Careful careful{went_on};
        await(sleep(1h));
      },
      log));
  EXPECT_TRUE(went_on);
  EXPECT_EQ(log.count("abandoned"), 0u);
}

// A task may refer to the variables of the task that made it: its destructors run before theirs.
TEST(Close, UnwindsTheYoungestTaskFirst) {
  const Log log;
  std::string ended;
  struct Refers {
    const std::string& name;
    std::string& ended;
    ~Refers() { ended += name + " "; }
  };
  static_cast<void>(close_over(
      [&] {
        const std::string name = "parent, much too long to be stored inline";
        const Refers own{name, ended};
        std::vector<Task<>> children;
        for (int i = 0; i < 3; ++i) {
          children.push_back(create_task([&, i] {
            const std::string place = std::to_string(i) + " of " + name;
            const Refers refers{place, ended};
            await(sleep(1h));
          }));
        }
        children.clear();
        await(sleep(1h));
      },
      log));
  const std::string parent = "parent, much too long to be stored inline ";
  EXPECT_EQ(ended, "2 of " + parent + "1 of " + parent + "0 of " + parent + parent);
}

// What an abandoned task waited for may end afterwards, and others use the loop's parts until the end.
TEST(Close, TellsAnAbandonedTaskOfNothing) {
  const Log log;
  EventLoop loop;
  auto future = loop.create_future<>();
  loop.create_task([future]() noexcept { await(future); }).detach();
  struct Sets {
    Future<> future;
    ~Sets() { future.set_result(); }
  };
  loop.create_task([future] {
        const Sets sets{future};
        await(sleep(1h));
      })
      .detach();
  loop.run_until_complete([] { await(sleep(0s)); });
  loop.close();
  EXPECT_TRUE(future.done());
  EXPECT_EQ(log.count("abandoned"), 1u);
}

TEST(Close, LetsCallbacksTakeTheirOthersAway) {
  struct Connection {
    EventLoop& loop;
    int fd;
    ~Connection() {
      loop.remove_reader(fd);
      loop.remove_writer(fd);
      ::close(fd);
    }
  };
  EventLoop loop;
  std::vector<int> peers;
  for (int i = 0; i < 50; ++i) {
    std::array<int, 2> pair{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
    peers.push_back(pair[1]);
    const std::shared_ptr<Connection> connection(new Connection{loop, pair[0]});
    loop.add_reader(pair[0], [connection] {});
    loop.add_writer(pair[0], [connection] {});
  }
  loop.close();
  for (const int fd : peers) EXPECT_EQ(::close(fd), 0);
}

TEST(Close, LetsASignalsCallbackTakeOthersAway) {
  struct Watch {
    EventLoop& loop;
    ~Watch() {
      loop.remove_signal_handler(SIGUSR1);
      loop.remove_signal_handler(SIGUSR2);
    }
  };
  EventLoop loop;
  {
    const std::shared_ptr<Watch> watch(new Watch{loop});
    loop.add_signal_handler(SIGUSR1, [watch] {});
    loop.add_signal_handler(SIGUSR2, [watch] {});
  }
  loop.close();
  EventLoop next;
  EXPECT_NO_THROW(next.add_signal_handler(SIGUSR1, [] {}));
  next.close();
}

TEST(Reader, IsThereWhenTheReplacedCallbacksDestructorLooks) {
  struct Looks {
    EventLoop& loop;
    int fd;
    bool& found;
    ~Looks() { found = loop.remove_reader(fd); }
  };
  EventLoop loop;
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
  bool found = false;
  {
    const std::shared_ptr<Looks> looks(new Looks{loop, pair[0], found});
    loop.add_reader(pair[0], [looks] {});
  }
  loop.add_reader(pair[0], [] {});
  EXPECT_TRUE(found);
  EXPECT_FALSE(loop.remove_reader(pair[0]));
  loop.close();
  ::close(pair[0]);
  ::close(pair[1]);
}

TEST(Close, FromADestructorThatItRunsDoesNothing) {
  struct Closes {
    EventLoop& loop;
    std::string& what;
    ~Closes() {
      loop.close();
      try {
        loop.run_forever();
      } catch (const RuntimeError& error) {
        what = error.what();
      }
    }
  };
  const Log log;
  EventLoop loop;
  std::string of_task, of_callback;
  int unwound = 0;
  struct Counts {
    int& number;
    ~Counts() { ++number; }
  };
  for (int i = 0; i < 3; ++i) {
    loop.create_task([&] {
          const Counts counts{unwound};
          const Closes closes{loop, of_task};
          await(sleep(1h));
        })
        .detach();
  }
  loop.run_until_complete([] { await(sleep(0s)); });
  const std::shared_ptr<Closes> closes(new Closes{loop, of_callback});
  loop.call_soon([held = std::move(closes)] {});
  loop.close();
  EXPECT_TRUE(loop.is_closed());
  EXPECT_EQ(unwound, 3);
  EXPECT_EQ(of_task, "Event loop is closed");
}

TEST(Close, GoesOnWhenTheExceptionHandlerThrows) {
  const Log log;
  int unwound = 0;
  struct Counts {
    int& number;
    ~Counts() { ++number; }
  };
  EventLoop loop;
  loop.set_exception_handler([](EventLoop&, const ExceptionContext&) { throw KeyboardInterrupt(); });
  for (int i = 0; i < 3; ++i) {
    loop.create_task([&] {
          const Counts counts{unwound};
          await(sleep(1h));
        })
        .detach();
  }
  loop.run_until_complete([] { await(sleep(0s)); });
  EXPECT_THROW(loop.close(), KeyboardInterrupt);
  EXPECT_TRUE(loop.is_closed());
  EXPECT_EQ(unwound, 3);
}

TEST(Close, TakesATaskThatTheExceptionHandlerWakes) {
  const Log log;
  EventLoop loop;
  auto future = loop.create_future<>();
  bool unwound = false;
  struct Notes {
    bool& flag;
    ~Notes() { flag = true; }
  };
  loop.set_exception_handler([&](EventLoop&, const ExceptionContext&) {
    if (!future.done()) future.set_result();
  });
  loop.create_task([&] {
        const Notes notes{unwound};
        await(future);
      })
      .detach();
  loop.run_until_complete([] { await(sleep(0s)); });
  loop.close();
  EXPECT_TRUE(unwound);
}

TEST(Destroy, ClosesWhateverTheExceptionHandlerThrows) {
  const Log log;
  bool unwound = false;
  struct Notes {
    bool& flag;
    ~Notes() { flag = true; }
  };
  {
    EventLoop loop;
    loop.set_exception_handler([](EventLoop&, const ExceptionContext&) { throw KeyboardInterrupt(); });
    loop.create_task([&] {
          const Notes notes{unwound};
          await(sleep(1h));
        })
        .detach();
    loop.run_until_complete([] { await(sleep(0s)); });
  }
  EXPECT_TRUE(unwound);
}

TEST(TaskOfAClosedLoop, StaysPendingAndAnswers) {
  const Log log;
  for (const bool abandoned : {false, true}) {
    auto unwinds = [] { await(sleep(1h)); };
    auto stays = []() noexcept { await(sleep(1h)); };
    Task<> task = abandoned ? close_over(stays, log) : close_over(unwinds, log);
    EXPECT_FALSE(task.done());
    EXPECT_FALSE(task.cancel());
    EXPECT_FALSE(task.cancel("again"));
    EXPECT_EQ(task.cancelling(), 0);
    EXPECT_EQ(task.uncancel(), 0);
    EXPECT_TRUE(task.get_stack().empty());
    std::ostringstream out;
    task.print_stack(std::nullopt, &out);
    EXPECT_NE(out.str().find("No stack for <Task pending name='stubborn'"), std::string::npos);
    EXPECT_EQ(task.get_name(), "stubborn");
    task.set_name("other");
    EXPECT_EQ(task.get_name(), "other");
    EXPECT_NE(repr(task).find("pending"), std::string::npos);
    EXPECT_THROW(static_cast<void>(task.result()), InvalidStateError);
    EXPECT_THROW(static_cast<void>(task.exception()), InvalidStateError);
    EXPECT_NE(format_call_graph(task).find("other"), std::string::npos);
  }
}

TEST(TaskOfAClosedLoop, CannotBeCancelledThroughAGather) {
  const Log log;
  EventLoop loop;
  Future<std::tuple<std::monostate>> all;
  loop.run_until_complete([&] {
    all = gather([] { await(sleep(1h)); });
    await(sleep(0s));
  });
  loop.close();
  EXPECT_THROW(all.cancel(), RuntimeError);
}

// ---- threads that wait for the loop

template <class F>
std::string error_of(F fn) {
  try {
    fn();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "none";
}

TEST(RunCoroutineThreadsafe, TellsAWaitingThreadThatTheLoopCloses) {
  const Log log;
  EventLoop loop;
  std::latch running(1);
  std::string error;
  bool unwound = false;
  bool told_after_that = false;
  struct Notes {
    bool& flag;
    ~Notes() { flag = true; }
  };
  std::thread thread([&] {
    auto future = run_coroutine_threadsafe(
        [&] {
          const Notes notes{unwound};
          get_running_loop().stop();
          await(sleep(1h));
        },
        loop);
    running.count_down();
    error = error_of([&] { future.result(); });
    told_after_that = unwound;
  });
  running.wait();
  loop.run_forever();
  loop.close();
  thread.join();
  EXPECT_EQ(error, "Event loop is closed");
  EXPECT_TRUE(told_after_that);
}

TEST(RunCoroutineThreadsafe, TellsOfACallThatTheLoopNeverMade) {
  EventLoop loop;
  auto future = run_coroutine_threadsafe([] { return 1; }, loop);
  loop.close();
  EXPECT_EQ(error_of([&] { future.result(); }), "Event loop is closed");
}

TEST(RunCoroutineThreadsafe, GivesAResultThatWasThereBeforeTheLoopClosed) {
  EventLoop loop;
  auto future = run_coroutine_threadsafe(
      [] {
        get_running_loop().stop();
        return 7;
      },
      loop);
  loop.run_forever();
  loop.run_until_complete([] {});
  loop.close();
  EXPECT_EQ(future.result(), 7);
}

TEST(RunCoroutineThreadsafe, IsToldOrRefusedWheneverTheLoopCloses) {
  if (AIOFIBER_TSAN)
    GTEST_SKIP() << "libstdc++ counts who has an exception, and ThreadSanitizer does not see it";
  for (int round = 0; round < 200; ++round) {
    EventLoop loop;
    std::latch begin(2);
    std::string error = "not told";
    std::thread thread([&] {
      begin.arrive_and_wait();
      error = error_of([&] { run_coroutine_threadsafe([] {}, loop).result(); });
    });
    begin.arrive_and_wait();
    loop.close();
    thread.join();
    EXPECT_EQ(error, "Event loop is closed");
  }
}

}  // namespace
}  // namespace aiofiber
