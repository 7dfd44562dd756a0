// SPDX-License-Identifier: Apache-2.0
//
// run() and Runner: a loop for the length of a program, with a clean-up at the end. Source: asyncio.run,
// asyncio.Runner.
//
// The clean-up cancels all remaining tasks, waits for them and for the default executor's threads, and closes
// the loop. SIGINT (Ctrl-C) cancels the main task. If the task then ends cancelled, run() throws
// KeyboardInterrupt. A SIGINT during the clean-up cuts the clean-up short, and run() also throws
// KeyboardInterrupt. A KeyboardInterrupt that nobody catches ends the program by SIGINT, after the clean-up.
// Differs from asyncio: a second SIGINT takes effect at the loop's next step, not in the middle of running
// code. The clean-up does not wait for ever for tasks that ignore their cancellation (Fiber): if only they
// are left, the loop is closed over them.
//
//     int answer = asyncio::run([] { return asyncio::await(asyncio::sleep(1ms, 42)); });
//     assert(answer == 42);
//
// Wrong: run() inside a task. There, await() the function, or create_task() it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "aiofiber/await.h"
#include "aiofiber/context.h"
#include "aiofiber/event_loop.h"
#include "aiofiber/not_awaitable.h"

namespace aiofiber {

namespace detail {
class Interruption;
struct RunC;
}  // namespace detail

// The keyword arguments of run() and Runner.
struct RunOptions {
  std::optional<bool> debug = std::nullopt;                            // absent: the loop's default
  std::function<std::unique_ptr<EventLoop>()> loop_factory = nullptr;  // empty: new_event_loop()
};

// Runs main() in a new loop and closes the loop; the entry point of a program. Gives main's result or throws
// its exception. Errors: RuntimeError from inside a running loop; KeyboardInterrupt after a SIGINT.
template <class Main>
ResultOf<Main> run(Main&& main, RunOptions options = {});

// Owns a loop and runs main functions in it, one after the other.
// Threads: one. SIGINT is watched only in the main thread, and only if the program has installed no handler
// for it.
class Runner {
 public:
  // Makes nothing yet: the loop is made by the first run() or get_loop().
  explicit Runner(RunOptions options = {});
  // Calls close() and logs its exception. exit() in a task of a static Runner leaves the loop alone.
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // Runs a coroutine object or a callable without arguments as a task. Gives its result or throws its
  // exception. All runs share a context (unless one is given). Tasks that are left after a run go on in the
  // next one. Errors: RuntimeError "Runner is closed"; RuntimeError from inside a running loop;
  // KeyboardInterrupt after a SIGINT.
  template <class Main>
  ResultOf<Main> run(Main&& main) {
    check_outside_loop("Runner.run()");
    return run_checked(std::forward<Main>(main), nullptr);
  }
  template <class Main>
  ResultOf<Main> run(Main&& main, const std::optional<Context>& context) {
    check_outside_loop("Runner.run()");
    return run_checked(std::forward<Main>(main), context ? &*context : nullptr);
  }
  // The loop, made on first use. RuntimeError "Runner is closed".
  EventLoop& get_loop();
  // Cancels the remaining tasks and waits for them, shuts the default executor down, and closes the loop. A
  // second call does nothing. Errors: KeyboardInterrupt after a SIGINT meanwhile; the loop is closed then
  // too.
  // RuntimeError from inside its loop.
  void close();

 private:
  template <class Main>
  friend ResultOf<Main> run(Main&& main, RunOptions options);
  friend struct detail::RunC;  // aiofiber_run()
  static void check_outside_loop(const char* function);

  template <class Main>
  ResultOf<Main> run_checked(Main&& main, const Context* context) {
    static_assert(detail::CoroutineLike<Main> || detail::CallableLike<Main>,
                  "run() takes a Coroutine or a callable without arguments: run([] { ... })");
    EventLoop& loop = get_loop();
    TaskOptions task_options;
    task_options.context = context_;
    if (context) task_options.context = *context;
    Task<ResultOf<Main>> task;
    if constexpr (detail::CoroutineLike<Main>) {
      task = loop.create_task(std::forward<Main>(main), std::move(task_options));
    } else {
      task = loop.create_task(std::move(task_options), std::forward<Main>(main));
    }
    run_main(task);
    return std::move(task).result();
  }
  // Runs until the task is done. If a SIGINT caused the task's CancelledError, throws KeyboardInterrupt
  // instead.
  void run_main(const AnyTask& task);
  // close() that logs its exception.
  void close_after_error() noexcept;
  void cancel_all_tasks();
  // Starts to handle SIGINT, if that was not done yet.
  void watch_interrupts();

  enum class Phase : unsigned char { kCreated, kInitialized, kClosed };
  Phase phase_ = Phase::kCreated;
  RunOptions options_;
  std::unique_ptr<EventLoop> loop_;  // null unless initialized
  std::optional<Context> context_;
  bool set_event_loop_ = false;
  bool runs_once_ = false;  // for run(): SIGINT is handled from the main task to the end of the clean-up
  std::unique_ptr<detail::Interruption> interruption_;  // null while SIGINT is not handled
};

template <class Main>
ResultOf<Main> run(Main&& main, RunOptions options) {
  Runner::check_outside_loop("asyncio.run()");
  Runner runner(std::move(options));
  runner.runs_once_ = true;
  // Caught, because an exception that nobody catches ends the program before any destructor is called. The
  // other tasks would get no clean-up.
  try {
    if constexpr (std::is_void_v<ResultOf<Main>>) {
      runner.run_checked(std::forward<Main>(main), nullptr);
      runner.close();
    } else {
      ResultOf<Main> result = runner.run_checked(std::forward<Main>(main), nullptr);
      runner.close();
      return std::forward<ResultOf<Main>>(result);
    }
  } catch (...) {
    runner.close_after_error();
    throw;
  }
}

}  // namespace aiofiber
