// SPDX-License-Identifier: Apache-2.0
//
// wait_for: in time, too late, None, a future, a task, failing coroutine.
// The twin of python/040_wait_for_basic.py.
#include "../conf.h"

namespace conf::s040 {

static const auto val = asyncio::coroutine([](std::string n, asyncio::Duration d) {
  try {
    asyncio::await(asyncio::sleep(d));
    log("finished", n);
    return n;
  } catch (const asyncio::CancelledError&) {
    log(n, "cancelled with", exc());
    throw;
  }
});

SCENARIO(040_wait_for_basic) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    log(asyncio::await(asyncio::wait_for(val("a", .1s), .5s)));
    try {
      asyncio::await(asyncio::wait_for(val("b", 1s), .2s));
    } catch (const asyncio::TimeoutError&) {
      log("timeout", exc());
    }
    log(asyncio::await(asyncio::wait_for(val("c", .1s), std::nullopt)));
    auto f = loop.create_future<std::string>();
    loop.call_later(.1s, [&f] { f.set_result("F"); });
    log(asyncio::await(asyncio::wait_for(f, 1s)));
    f = loop.create_future<std::string>();
    try {
      asyncio::await(asyncio::wait_for(f, .1s));
    } catch (const asyncio::TimeoutError&) {
      log("timeout; the future is", st(f));
    }
    auto t = asyncio::create_task(val("t", 1s));
    try {
      asyncio::await(asyncio::wait_for(t, .1s));
    } catch (const asyncio::TimeoutError&) {
      log("timeout; the task is", st(t));
    }
    const auto bad = asyncio::coroutine([] { throw ValueError("x"); });
    try {
      asyncio::await(asyncio::wait_for(bad(), 1s));
    } catch (const ValueError&) {
      log(exc());
    }
    log("main", cancelling());
  });
}

}  // namespace conf::s040
