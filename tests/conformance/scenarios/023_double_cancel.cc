// SPDX-License-Identifier: Apache-2.0
//
// Two cancels in one pass are one CancelledError; its message; cancels in separate passes.
// The twin of python/023_double_cancel.py.
#include "../conf.h"

namespace conf::s023 {

static void body() {
  try {
    asyncio::await(asyncio::sleep(10s));
  } catch (const asyncio::CancelledError&) {
    log("first", exc());
  }
  try {
    asyncio::await(asyncio::sleep(10s));
  } catch (const asyncio::CancelledError&) {
    log("second", exc());
    throw;
  }
}

SCENARIO(023_double_cancel) {
  run([] {
    auto t = asyncio::create_task(body);
    asyncio::await(asyncio::sleep(0s));
    const bool a = t.cancel("a");
    const bool b = t.cancel("b");
    log(a, b, "cancelling", t.cancelling());
    asyncio::await(asyncio::sleep(.1s));
    log("state", st(t), "- the second request was merged into the first");
    t.cancel("c");
    asyncio::await(asyncio::wait(list_of(t)));
    log(st(t));
    attempt("result", [&] { return t.result(); });
    t = asyncio::create_task(body);
    asyncio::await(asyncio::sleep(0s));
    t.cancel("x");
    asyncio::await(asyncio::sleep(0s));
    t.cancel("y");
    asyncio::await(asyncio::wait(list_of(t)));
    attempt("result", [&] { return t.result(); });
  });
}

}  // namespace conf::s023
