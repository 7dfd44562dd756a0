// SPDX-License-Identifier: Apache-2.0
//
// sleep: result argument, zero, negative, cancelled, equal deadlines.
// The twin of python/047_sleep.py.
#include "../conf.h"

namespace conf::s047 {

static const auto s = asyncio::coroutine([](std::string n, asyncio::Duration d) -> std::string {
  const std::string r = asyncio::await(asyncio::sleep(d, n));
  log(r, "woke");
  return r;
});

SCENARIO(047_sleep) {
  run([] {
    auto& loop = current_loop();
    const std::string res = asyncio::await(asyncio::sleep(.1s, std::string("res")));
    const std::string zero = asyncio::await(asyncio::sleep(0s, std::string("zero")));
    const std::string negative = asyncio::await(asyncio::sleep(-5s, std::string("negative")));
    log(res, zero, negative);
    loop.call_soon(log, "callback between");
    asyncio::await(asyncio::sleep(-1s));
    log("a negative sleep still yields once");
    auto t = asyncio::create_task(s("x", 5s));
    asyncio::await(asyncio::sleep(.1s));
    t.cancel();
    asyncio::await(asyncio::wait(list_of(t)));
    log(st(t), "live timers", loop.live_timers());
    asyncio::await(asyncio::gather(s("d3", .3s), s("d1", .1s), s("d2", .2s)));
    asyncio::await(asyncio::gather(s("e1", .1s), s("e2", .1s)));
    auto f = s("late", 0.05s);
    asyncio::await(asyncio::sleep(.2s));
    log("a coroutine does not run by itself");
    log(asyncio::await(f));
  });
}

}  // namespace conf::s047
