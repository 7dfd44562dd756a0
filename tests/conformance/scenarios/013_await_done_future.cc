// SPDX-License-Identifier: Apache-2.0
//
// Awaiting a future that is already done does not give up control.
// The twin of python/013_await_done_future.py.
#include "../conf.h"

namespace conf::s013 {

SCENARIO(013_await_done_future) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    auto f = loop.create_future<std::string>();
    f.set_result("r");
    loop.call_soon(log, "other callback");
    log("await 1", asyncio::await(f));
    log("await 2", asyncio::await(f));
    auto g = loop.create_future<>();
    g.set_exception(ValueError("v"));
    for (int i = 0; i < 2; ++i) {
      try {
        asyncio::await(g);
      } catch (const ValueError&) {
        log("caught", exc(), std::current_exception() == g.exception());
      }
    }
    auto h = loop.create_future<>();
    h.cancel("c");
    try {
      asyncio::await(h);
    } catch (const asyncio::CancelledError&) {
      log("caught", exc());
    }
    log("main not cancelled; cancelling() =", cancelling());
    asyncio::await(asyncio::sleep(0s));
    log("after one real yield");
  });
}

}  // namespace conf::s013
