// SPDX-License-Identifier: Apache-2.0
//
// TaskGroup and SystemExit; children that fail with a BaseException; cancelling() afterwards.
// The twin of python/059_taskgroup_base_errors.py.
#include "../conf.h"

namespace conf::s059 {

static void nice(const char* n) {
  try {
    asyncio::await(asyncio::sleep(10s));
  } catch (const asyncio::CancelledError&) {
    log(n, "cancelled");
    throw;
  }
}

template <class E>
static void raiser(const E& e) {
  asyncio::await(asyncio::sleep(.1s));
  throw e;
}

static void body_exit() {
  asyncio::await(asyncio::task_group([](asyncio::TaskGroup& tg) {
    tg.create_task(nice, "sibling").detach();
    asyncio::await(asyncio::sleep(.1s));
    throw asyncio::SystemExit("from body");
  }));
}

SCENARIO(059_taskgroup_base_errors) {
  run([] {
    try {
      body_exit();
    } catch (const asyncio::SystemExit&) {
      log("unwrapped:", exc());
    }
    try {
      asyncio::await(asyncio::task_group([](asyncio::TaskGroup& tg) {
        tg.create_task([] { raiser(B("base")); }).detach();
        asyncio::await(asyncio::sleep(5s));
      }));
    } catch (const asyncio::BaseExceptionGroup&) {
      log(exc(), is_ordinary(std::current_exception()));
    }
    try {
      asyncio::await(asyncio::task_group([](asyncio::TaskGroup& tg) {
        tg.create_task([] { raiser(ValueError("in body")); }).detach();
        asyncio::await(asyncio::sleep(5s));
      }));
    } catch (const asyncio::ExceptionGroup&) {
      log("failed while in the body: cancelling", cancelling());
    }
    try {
      asyncio::await(asyncio::task_group(
          [](asyncio::TaskGroup& tg) { tg.create_task([] { raiser(ValueError("at exit")); }).detach(); }));
    } catch (const asyncio::ExceptionGroup&) {
      log("failed while waiting at the exit: cancelling", cancelling());
    }
    asyncio::await(asyncio::sleep(0s));
    log("but nothing is thrown later");
    try {
      asyncio::await(asyncio::timeout(.1s, [] { asyncio::await(asyncio::sleep(1s)); }));
    } catch (const asyncio::TimeoutError&) {
      log("timeout() still works on top of it");
    }
  });
}

}  // namespace conf::s059
