// SPDX-License-Identifier: Apache-2.0
//
// SIGINT inside Runner.run: first cancels the main task, result becomes KeyboardInterrupt.
// The twin of python/057_runner_sigint.py.
#include "../conf.h"

#include <csignal>

namespace conf::s057 {
namespace {

void hit() { ::raise(SIGINT); }

void wait_for_ever() {
  asyncio::get_running_loop().call_soon(hit);
  asyncio::await(asyncio::get_running_loop().create_future<>());
}

void waits() {
  try {
    wait_for_ever();
  } catch (const asyncio::CancelledError&) {
    emit("main task cancelled " + exc());
    throw;
  }
}

std::string swallows() {
  try {
    wait_for_ever();
  } catch (const asyncio::CancelledError&) {
    emit("swallowed");
  }
  return "normal result";
}

void other_error() {
  try {
    wait_for_ever();
  } catch (const asyncio::CancelledError&) {
    throw ValueError("instead");
  }
}

// Python raises the second KeyboardInterrupt in the middle of the code that runs. A C++ signal handler cannot
// throw: the loop notices the signal in its next pass, so the task waits for it.
void twice() {
  try {
    wait_for_ever();
  } catch (const asyncio::CancelledError&) {
    emit("first SIGINT seen; second comes");
    hit();
    asyncio::await(asyncio::sleep(1s));
    emit("not reached");
  }
}

// The signal, too, is noticed one pass later than in Python: the clean-up gives it the time to count.
void cancelled_anyway() {
  asyncio::current_task()->cancel("own");
  try_finally(wait_for_ever, [] {
    try {
      asyncio::await(asyncio::sleep(1s));
      emit("the signal was lost");
    } catch (const asyncio::CancelledError&) {
    }
  });
}

template <class Fn>
void attempt2(const std::string& label, Fn fn) {
  try {
    emit(label + " -> " + py_result(fn));
  } catch (...) {
    emit(label + " !! " + exc());
  }
}

std::unique_ptr<asyncio::EventLoop> waiting_loop() {
  auto loop = make_loop();
  current_loop().set_may_block(true);
  return loop;
}

template <class Fn>
void judge(const char* label, Fn fn) {
  attempt2(label, [fn] {
    asyncio::Runner r({.loop_factory = waiting_loop});
    return r.run(fn);
  });
}

auto handler_of_sigint() {
  struct sigaction action {};
  ::sigaction(SIGINT, nullptr, &action);
  return action.sa_handler;
}

void custom_handler(int) { emit("custom handler"); }

}  // namespace

SCENARIO(057_runner_sigint) {
  if (strict()) {
    log("(no strict trace: real signals)");
    return;
  }
  const auto before = handler_of_sigint();
  judge("waits", waits);
  judge("swallows", swallows);
  judge("other_error", other_error);
  judge("twice", twice);
  judge("cancelled_anyway", cancelled_anyway);
  emit("handler restored " + py(handler_of_sigint() == before));
  std::signal(SIGINT, custom_handler);
  judge("custom", []() -> std::string {
    hit();
    asyncio::await(asyncio::sleep(0s));
    return "custom handler kept";
  });
}

}  // namespace conf::s057
