// SPDX-License-Identifier: Apache-2.0
//
// wait with a timeout: no exception, nothing is cancelled; zero, negative, exact tie.
// The twin of python/038_wait_timeout.py.
#include "../conf.h"

namespace conf::s038 {

static std::string val(std::string n, asyncio::Duration d) {
  asyncio::await(asyncio::sleep(d));
  log("finished", n);
  return n;
}

template <class WaitResult>
static void show(const char* label, const WaitResult& dp) {
  log(label, "done", names(dp.done), "pending", names(dp.pending));
}

SCENARIO(038_wait_timeout) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    auto a = asyncio::create_task({.name = "a"}, val, "a", .1s);
    auto b = asyncio::create_task({.name = "b"}, val, "b", .3s);
    show("timeout .2", asyncio::await(asyncio::wait(list_of(a, b), {.timeout = .2s})));
    log("b still", st(b));
    show("timeout 0", asyncio::await(asyncio::wait(list_of(b), {.timeout = 0s})));
    show("timeout -1", asyncio::await(asyncio::wait(list_of(b), {.timeout = -1s})));
    show("no limit", asyncio::await(asyncio::wait(list_of(b))));
    auto f = loop.create_future<std::string>();
    auto c = asyncio::create_task(asyncio::wait(list_of(f), {.timeout = .1s}));
    loop.call_at(loop.time() + 100ms, [&f] { f.set_result("tie"); });
    const auto [d, p] = asyncio::await(c);
    log("tie: done", d.size(), "pending", p.size());
  });
}

}  // namespace conf::s038
