// SPDX-License-Identifier: Apache-2.0
//
// An exception in a callback goes to the handler and does not stop the loop.
// The twin of python/007_callback_exception.py.
#include "../conf.h"

namespace conf::s007 {

static void bad(int x) { throw ValueError("bad " + std::to_string(x)); }

SCENARIO(007_callback_exception) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    loop.call_soon(bad, 1);
    loop.call_soon(log, "next in the same pass");
    loop.call_later(.1s, bad, 2);
    auto f = loop.create_future<int>();
    f.add_done_callback([](const asyncio::Future<int>&) { throw KeyError("in done-callback"); });
    f.add_done_callback([](const asyncio::Future<int>&) { log("second done-callback still runs"); });
    f.set_result(1);
    asyncio::await(asyncio::sleep(.2s));
    loop.call_soon([] { throw asyncio::CancelledError("from callback"); });
    asyncio::await(asyncio::sleep(0s));
    loop.call_soon([] { throw B("base"); });
    asyncio::await(asyncio::sleep(0s));
    log("alive");
  });
}

}  // namespace conf::s007
