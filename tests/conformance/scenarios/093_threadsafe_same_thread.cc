// SPDX-License-Identifier: Apache-2.0
//
// run_coroutine_threadsafe called in the loop's own thread: when things start, cancel before start.
// The twin of python/093_threadsafe_same_thread.py.
#include "../conf.h"

namespace conf::s093 {

static const auto body = asyncio::coroutine([](std::string n) {
  log(n, "started");
  try {
    asyncio::await(asyncio::sleep(.1s));
    return n;
  } catch (const asyncio::CancelledError&) {
    log(n, "cancelled");
    throw;
  }
});

SCENARIO(093_threadsafe_same_thread) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    auto f = asyncio::run_coroutine_threadsafe(body("a"), loop);
    log("submitted", f.done(), f.running());
    asyncio::await(asyncio::sleep(0s));
    log("one pass", f.done());
    asyncio::await(asyncio::sleep(.2s));
    log("result", f.result(0s));
    f = asyncio::run_coroutine_threadsafe(body("b"), loop);
    const bool at_once = f.cancel();
    log("cancel at once", at_once, f.cancelled());
    asyncio::await(asyncio::sleep(.2s));
    f = asyncio::run_coroutine_threadsafe(body("c"), loop);
    asyncio::await(asyncio::sleep(.05s));
    const bool running = f.cancel();
    log("cancel while running", running, f.cancelled());
    asyncio::await(asyncio::sleep(.2s));
    f = asyncio::run_coroutine_threadsafe(body("d"), loop);
    asyncio::await(asyncio::sleep(.2s));
    const bool when_done = f.cancel();
    log("cancel when done", when_done, f.result(0s));
    const auto br = asyncio::run_coroutine_threadsafe([] { throw B("base"); }, loop);
    ticks(5);
    log(exc(br.exception(0s)));
    f = asyncio::run_coroutine_threadsafe(body("e"), loop);
    std::vector<std::string> got;
    f.add_done_callback(
        [&got](const asyncio::concurrent::Future<std::string>& x) { got.push_back(x.result()); });
    asyncio::await(asyncio::sleep(.2s));
    log("callback", got);
  });
}

}  // namespace conf::s093
