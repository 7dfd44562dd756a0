// SPDX-License-Identifier: Apache-2.0
//
// Dumps of all tasks, of this thread and of others.
// Not for ThreadSanitizer: the dump reads what other threads write, and checks afterwards whether the data
// was consistent. Real threads and real signals: a dump must work while another thread's loop runs or hangs.
// Labels: debuginfo long
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <sstream>
#include <string>
#include <thread>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"
#include "support/run_in_loop.h"

namespace app {

using namespace std::chrono_literals;
namespace aio = aiofiber;
using aio::await;

__attribute__((noinline)) void rest() {
  await(aio::sleep(1h));
  asm volatile("");
}

std::string dump() {
  std::ostringstream out;
  aio::dump_tasks(out);
  return out.str();
}
::testing::AssertionResult has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "no `" << part << "` in:\n" << text;
}

void end_all() {
  for (auto& task : aio::all_tasks()) {
    if (task != aio::current_task()) task.cancel();
  }
  await(aio::sleep(1ms));
}

TEST(DumpTasks, ShowsEveryTaskWithStateWaitAndStack) {
  aiofiber::run_in_loop([] {
    aio::Lock lock;
    await(lock.acquire());
    auto sleeper = aio::create_task({.name = "sleeper"}, rest);
    auto waiter = aio::create_task({.name = "waiter"}, [&] { await(lock.acquire()); });
    auto parent = aio::create_task({.name = "parent"}, [&] { await(aio::gather(sleeper, waiter)); });
    await(aio::sleep(2s));
    auto fresh = aio::create_task({.name = "fresh"}, rest);
    const std::string text = dump();
    EXPECT_TRUE(has(text, "5 tasks in process"));
    EXPECT_TRUE(has(text, "Task 'sleeper' (id "));
    EXPECT_TRUE(has(text, "waiting for sleep, 3598.0 s left, for 2.0 s\n"));
    EXPECT_TRUE(has(text, "in app::rest\n    await(aio::sleep(1h));"));
    EXPECT_TRUE(has(text, "waiting for lock at 0x"));
    EXPECT_TRUE(has(text, "waiting for gather of 'sleeper', 'waiter', for 2.0 s\n"));
    EXPECT_TRUE(has(text, ", running\n"));
    EXPECT_TRUE(has(text, ", not started\n"));
    end_all();
  });
}

TEST(DumpTasks, GroupsManyTasksWithTheSameStack) {
  aiofiber::run_in_loop([] {
    for (int i = 0; i < 100; ++i) aio::create_task({.name = "worker-" + std::to_string(i)}, rest).detach();
    await(aio::sleep(1s));
    const std::string text = dump();
    EXPECT_TRUE(has(text, "100 tasks, 'worker-0', 'worker-1', 'worker-2' and 97 more, waiting for sleep"));
    EXPECT_FALSE(has(text, "worker-50"));
    end_all();
  });
}

TEST(DumpTasks, TellsTheLimitAroundAWait) {
  aiofiber::run_in_loop([] {
    aio::current_task()->set_name("holder");
    aio::Lock lock;
    await(lock.acquire());
    auto limited = aio::create_task({.name = "limited"}, [&] {
      await(aio::timeout(1h, [&] { await(aio::wait_for([&] { await(lock.acquire()); }, 2h)); }));
    });
    auto again = aio::create_task({.name = "again"}, [] {
      await(aio::timeout(1h, [] { await(aio::sleep(1s)); }));
      rest();
    });
    await(aio::sleep(2s));
    const std::string text = dump();
    EXPECT_TRUE(has(text, ", held by task 'holder' (limit: 3598.0 s left), for 2.0 s\n"));
    EXPECT_TRUE(has(text, "waiting for sleep, 3599.0 s left, for 1.0 s\n")) << "the other limit is over";
    end_all();
  });
}

TEST(DumpTasks, TellsALimitThatOtherCodeHasChanged) {
  aiofiber::run_in_loop([] {
    aio::Event never;
    aio::Timeout* outer = nullptr;
    auto task = aio::create_task({.name = "limited"}, [&] {
      await(aio::timeout(10s, [&](aio::Timeout& scope) {
        outer = &scope;
        await(aio::timeout(60s, [&] { await(aio::wait_for(never.wait(), 40s)); }));
      }));
    });
    await(aio::sleep(1s));
    const auto expect_limit = [](const char* text) {
      EXPECT_TRUE(has(dump(), std::string(" (limit: ") + text + " s left)")) << text << "\n" << dump();
    };
    expect_limit("9.0");
    const auto now = aio::get_running_loop().time();
    outer->reschedule(now + 20s);
    expect_limit("20.0");
    outer->reschedule(now + 30s);
    expect_limit("30.0");
    outer->reschedule(now + 100s);
    expect_limit("39.0");  // the wait's own
    outer->reschedule(std::nullopt);
    expect_limit("39.0");
    outer->reschedule(now + 5s);
    expect_limit("5.0");
    end_all();
  });
}

TEST(DumpTasks, TellsALimitThatOtherCodeHasChangedAfterTheWait) {
  aiofiber::run_in_loop([] {
    aio::Event never;
    aio::Timeout* outer = nullptr;
    auto task = aio::create_task({.name = "limited"}, [&] {
      await(aio::timeout(10s, [&](aio::Timeout& scope) {
        outer = &scope;
        await(aio::sleep(2s));
        await(aio::timeout(60s, [&] { await(never.wait()); }));
      }));
    });
    await(aio::sleep(1s));
    outer->reschedule(aio::get_running_loop().time() + 20s);
    await(aio::sleep(2s));
    EXPECT_TRUE(has(dump(), " (limit: 18.0 s left)")) << dump();
    outer->reschedule(std::nullopt);
    EXPECT_TRUE(has(dump(), " (limit: 59.0 s left)")) << dump();
    end_all();
  });
}

std::atomic<bool> may_return{false};
void blocks_a_thread() { may_return.wait(false); }

TEST(DumpTasks, NamesTheCallOnAnotherThread) {
  aio::run([] {
    may_return = false;
    auto task = aio::create_task([] { await(aio::to_thread(blocks_a_thread)); });
    auto other = aio::create_task([] { await(aio::to_thread([] { blocks_a_thread(); })); });
    await(aio::sleep(0s));
    await(aio::sleep(0s));
    const std::string text = dump();
    may_return = true;
    may_return.notify_all();
    EXPECT_TRUE(has(text, "waiting for a call on another thread: app::blocks_a_thread(), for "));
    EXPECT_TRUE(has(text, "::TestBody::{lambda} (debug_dump_test.cc:"));
    await(aio::gather(task, other));
  });
}

// A call in the last line: compiled with optimization, the function is not on the stack while that waits.
__attribute__((noinline)) void ends_in_a_call() { await(aio::sleep(1h)); }

TEST(DumpTasks, ShowsWhatATaskBeganWithWhereNothingElseIsItsOwn) {
  aiofiber::run_in_loop([] {
    auto task = aio::create_task(ends_in_a_call);
    await(aio::sleep(1s));
    EXPECT_TRUE(has(dump(), "in app::ends_in_a_call\n"));
    const auto frames = task.get_stack();
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].function, "app::ends_in_a_call");
    end_all();
  });
}

// A loop on its own thread, whose body runs until `leave` is set.
class OtherLoop {
 public:
  template <class F>
  explicit OtherLoop(F body)
      : thread_([this, body] {
          aio::run([&] {
            auto task = aio::create_task({.name = "other"}, [&] { body(leave); });
            await(task);
          });
        }) {}
  ~OtherLoop() {
    leave = true;
    thread_.join();
  }
  std::atomic<bool> leave{false};

 private:
  std::thread thread_;
};

template <class Condition>
std::string dump_until(Condition condition) {
  std::string text;
  const auto limit = std::chrono::steady_clock::now() + 10s;
  do {
    text = dump();
  } while (!condition(text) && std::chrono::steady_clock::now() < limit);
  return text;
}

__attribute__((noinline)) void spin(const std::atomic<bool>& leave) {
  while (!leave) asm volatile("");
  asm volatile("");
}
__attribute__((noinline)) void nap(std::atomic<bool>& leave) {
  while (!leave) await(aio::sleep(1ms));
  asm volatile("");
}

TEST(DumpTasks, SeesATaskOfAnotherThreadThatWaits) {
  OtherLoop other(nap);
  const std::string text =
      dump_until([](const std::string& t) { return t.find("in app::nap") != std::string::npos; });
  EXPECT_TRUE(has(text, "Task 'other'"));
  EXPECT_TRUE(has(text, "in app::nap"));
}

TEST(DumpTasks, SeesATaskOfAnotherThreadThatComputes) {
  OtherLoop other(spin);
  const std::string text =
      dump_until([](const std::string& t) { return t.find("in app::spin") != std::string::npos; });
  EXPECT_TRUE(has(text, "Task 'other'"));
  EXPECT_TRUE(has(text, ", running\n"));
  EXPECT_TRUE(has(text, "in app::spin"));
}

// ---- coroutines of another thread

// Runs `coroutine(leave)` as a task without a stack, on a loop of its own.
template <class F>
class CoroutineLoop {
 public:
  explicit CoroutineLoop(F coroutine)
      : thread_([this, coroutine] {
          aio::run([&] { await(aio::create_task(coroutine(leave), {.name = "other"})); });
        }) {}
  ~CoroutineLoop() {
    leave = true;
    thread_.join();
  }
  std::atomic<bool> leave{false};

 private:
  std::thread thread_;
};

constexpr int kPause = __LINE__ + 2;
aio::Coro<> pause_once() {
  co_await aio::sleep(1ms);
  co_return;
}
constexpr int kNap = __LINE__ + 2;
aio::Coro<> nap_in_coroutine(std::atomic<bool>& leave) {
  while (!leave) co_await pause_once();
}
constexpr int kSpin = __LINE__ + 3;
aio::Coro<> spin_in_coroutine(std::atomic<bool>& leave) {
  co_await pause_once();
  spin(leave);
  co_await pause_once();
}
constexpr int kAwaitsSpin = __LINE__ + 1;
aio::Coro<> await_spin(std::atomic<bool>& leave) { co_await spin_in_coroutine(leave); }
std::string line_in(int line, const std::string& function) {
  return "debug_dump_test.cc\", line " + std::to_string(line) + ", in app::" + function + "\n";
}

TEST(DumpTasks, SeesCoroutinesOfAnotherThreadThatWait) {
  CoroutineLoop other(nap_in_coroutine);
  const std::string text =
      dump_until([](const std::string& t) { return t.find("in app::pause_once") != std::string::npos; });
  EXPECT_TRUE(has(text, "Task 'other'"));
  const std::size_t outer = text.find(line_in(kNap, "nap_in_coroutine"));
  const std::size_t inner = text.find(line_in(kPause, "pause_once"));
  EXPECT_LT(outer, inner) << text;
  EXPECT_NE(inner, std::string::npos) << text;
}

TEST(DumpTasks, SeesACoroutineOfAnotherThreadThatComputes) {
  CoroutineLoop other(await_spin);
  const std::string text =
      dump_until([](const std::string& t) { return t.find("in app::spin\n") != std::string::npos; });
  EXPECT_TRUE(has(text, "Task 'other'"));
  const std::size_t outer = text.find(line_in(kAwaitsSpin, "await_spin"));
  const std::size_t inner = text.find(line_in(kSpin, "spin_in_coroutine"));
  EXPECT_LT(outer, inner) << text;
  EXPECT_LT(inner, text.find("in app::spin\n")) << text;
  EXPECT_EQ(text.find("Scheduler"), std::string::npos) << "the loop's frames are not the task's: " << text;
  EXPECT_EQ(text.find("A callback, running"), std::string::npos) << text;
}

TEST(DumpTasks, SeesTheSystemCallOfACoroutineThatBlocks) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  {
    CoroutineLoop other([&](std::atomic<bool>&) -> aio::Coro<> {
      co_await pause_once();
      char byte;
      EXPECT_EQ(read(ends[0], &byte, 1), 1);
    });
    const std::string text =
        dump_until([](const std::string& t) { return t.find("running in read(fd ") != std::string::npos; });
    EXPECT_TRUE(has(text, "Task 'other'"));
    EXPECT_TRUE(has(text, "SeesTheSystemCallOfACoroutineThatBlocks_Test::TestBody::{lambda}\n"));
    EXPECT_EQ(write(ends[1], "x", 1), 1);
  }
  close(ends[0]);
  close(ends[1]);
}

TEST(DumpTasks, SaysForHowLongALoopHasStood) {
  OtherLoop other([](std::atomic<bool>& leave) {
    aio::create_task({.name = "innocent"}, rest).detach();
    await(aio::sleep(0s));
    await(aio::sleep(0s));
    spin(leave);
  });
  // Its clock stands as long as it does; the times are real all the same.
  const std::string text = dump_until(
      [](const std::string& t) { return t.find("which has not gone on for ") != std::string::npos; });
  EXPECT_TRUE(has(text, "which has not gone on for "));
  EXPECT_TRUE(has(text, "Task 'other'"));
  const std::size_t innocent = text.find("Task 'innocent'");
  ASSERT_NE(innocent, std::string::npos) << text;
  EXPECT_EQ(text.find(", for 0.0 s", innocent), std::string::npos) << text;
}

TEST(DumpTasks, SeesACallbackInWhichALoopStands) {
  OtherLoop other([](std::atomic<bool>& leave) {
    aio::get_running_loop().call_soon([&leave] { spin(leave); });
    nap(leave);
  });
  const std::string text =
      dump_until([](const std::string& t) { return t.find("in app::spin") != std::string::npos; });
  EXPECT_TRUE(has(text, "A callback, running\n"));
  EXPECT_TRUE(has(text, "in app::spin"));
}

TEST(DumpTasks, SeesTheSystemCallOfATaskThatBlocks) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  {
    OtherLoop other([&](std::atomic<bool>&) {
      char byte;
      EXPECT_EQ(read(ends[0], &byte, 1), 1);  // a dump must not end it
    });
    const std::string text =
        dump_until([](const std::string& t) { return t.find("running in read(fd ") != std::string::npos; });
    EXPECT_TRUE(has(text, "running in read(fd " + std::to_string(ends[0]) + " = pipe:["));
    EXPECT_TRUE(has(text, "SeesTheSystemCallOfATaskThatBlocks"));
    EXPECT_EQ(write(ends[1], "x", 1), 1);
  }
  close(ends[0]);
  close(ends[1]);
}

TEST(DumpTasks, DoesNotEndASleepOfTheTaskThatItLooksAt) {
  std::atomic<int> result{-1};
  {
    OtherLoop other([&](std::atomic<bool>&) {
      const timespec duration{0, 300'000'000};
      result = nanosleep(&duration, nullptr);
    });
    const std::string text =
        dump_until([](const std::string& t) { return t.find("nanosleep()") != std::string::npos; });
    EXPECT_TRUE(has(text, "running in clock_nanosleep()"));
  }
  EXPECT_EQ(result, 0);
}

TEST(EnableTaskDump, WritesTheDumpWhenTheSignalComesWhileTheLoopHangs) {
  char path[] = "/tmp/aiofiber_dump_XXXXXX";
  const int file = mkstemp(path);
  ASSERT_GE(file, 0);
  aio::enable_task_dump(SIGUSR2, std::string(path));
  aio::run([&] {
    // Never gives the loop a turn: what is written comes from elsewhere.
    ASSERT_EQ(raise(SIGUSR2), 0);
    char byte;
    const auto limit = std::chrono::steady_clock::now() + 10s;
    while (pread(file, &byte, 1, 0) != 1 && std::chrono::steady_clock::now() < limit) continue;
  });
  std::string text(64 * 1024, '\0');
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(pread(file, text.data(), text.size(), 0), 0)));
  EXPECT_TRUE(has(text, "1 task in process"));
  EXPECT_TRUE(has(text, "in app::EnableTaskDump_WritesTheDump"));
  close(file);
  unlink(path);
}

// Else what is seen of the thread that got it may be the handler, which lies on another stack.
TEST(EnableTaskDump, KeepsTheSignalThatLooksAtTheThreadForAfterItsHandler) {
  aio::enable_task_dump(SIGUSR2, 2);
  struct sigaction action {};
  ASSERT_EQ(sigaction(SIGUSR2, nullptr, &action), 0);
  EXPECT_EQ(sigismember(&action.sa_mask, SIGURG), 1);
}

TEST(EnableTaskDump, RefusesWhatCannotWork) {
  EXPECT_THROW(aio::enable_task_dump(SIGKILL), aio::RuntimeError);
  EXPECT_THROW(aio::enable_task_dump(0), aio::RuntimeError);
  EXPECT_THROW(aio::enable_task_dump(SIGUSR1, std::string("/nowhere/at/all")), aio::RuntimeError);
}

}  // namespace app
