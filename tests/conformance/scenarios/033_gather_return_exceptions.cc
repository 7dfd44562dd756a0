// SPDX-License-Identifier: Apache-2.0
//
// gather(return_exceptions): errors and cancellations become list items.
// The twin of python/033_gather_return_exceptions.py.
#include "../conf.h"

namespace conf::s033 {

static const auto bad = asyncio::coroutine([](int n) {
  asyncio::await(asyncio::sleep(0s));
  throw ValueError(n);
});

static const auto val = asyncio::coroutine([](int n) { return n; });

SCENARIO(033_gather_return_exceptions) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    auto f = loop.create_future<>();
    f.cancel("pre");
    auto h = loop.create_future<>();
    h.cancel();
    auto t = asyncio::create_task(asyncio::sleep(10s));
    loop.call_later(.1s, [&t] { t.cancel("tc"); });
    const auto r =
        asyncio::await(asyncio::gather(asyncio::return_exceptions, bad(1), val(2), f, h, t, bad(3)));
    log(as_list(r));
    log("main not cancelled:", cancelling());
  });
}

}  // namespace conf::s033
