// SPDX-License-Identifier: Apache-2.0
//
// A task that cancels itself: CancelledError comes at the next real suspension; cancellation wins over
// return; raise wins.
// The twin of python/021_cancel_self.py.
#include "../conf.h"

namespace conf::s021 {

static void then_await() {
  asyncio::current_task()->cancel("self");
  log("still running");
  auto f = asyncio::get_running_loop().create_future<std::string>();
  f.set_result("done future");
  log("await of a done future:", asyncio::await(f));
  try_finally([] { asyncio::await(asyncio::sleep(5s)); }, [] { log("interrupted"); });
}

static void then_sleep0() {
  asyncio::current_task()->cancel("self0");
  try {
    asyncio::await(asyncio::sleep(0s));
  } catch (const asyncio::CancelledError&) {
    log("sleep(0) interrupted", exc());
    throw;
  }
}

static int then_return() {
  asyncio::current_task()->cancel("ret");
  return 12;
}

static void then_raise() {
  asyncio::current_task()->cancel("lost");
  throw ValueError("mine");
}

static void then_raise_cancelled() { throw asyncio::CancelledError("without cancel()"); }

template <class Fn>
static void judge(const char* name, Fn fn) {
  auto t = asyncio::create_task(fn);
  try {
    log(name, "->", py_result([&] { return asyncio::await(t); }));
  } catch (...) {
    log(name, "raised", exc(), "cancelled()", t.cancelled(), "cancelling", t.cancelling());
  }
}

SCENARIO(021_cancel_self) {
  run([] {
    judge("then_await", then_await);
    judge("then_sleep0", then_sleep0);
    judge("then_return", then_return);
    judge("then_raise", then_raise);
    judge("then_raise_cancelled", then_raise_cancelled);
  });
}

}  // namespace conf::s021
