// SPDX-License-Identifier: Apache-2.0
//
// A ring of waiting tasks, which CPython cannot cancel; long chains; a ring through a group.
// The twin of python/097_cancel_ring_and_chain.py.
#include "../conf.h"

#include <algorithm>
#include <cstdlib>

namespace conf::s097 {

static void link(asyncio::Future<> x) { asyncio::await(x); }

static void chain_of(int n) {
  auto& loop = current_loop();
  auto f = loop.create_future<>();
  std::vector chain{asyncio::create_task(link, f)};
  for (int i = 1; i < n; ++i) chain.push_back(asyncio::create_task(link, chain.back()));
  ticks(2);
  const bool accepted = chain.back().cancel();
  log("chain", n, accepted, "future", st(f));
  const auto begin = loop.iteration();
  asyncio::await(asyncio::wait(list_of(chain.back())));
  log("passes until the top is cancelled", loop.iteration() - begin - 1, "all",
      std::all_of(chain.begin(), chain.end(), [](const auto& t) { return t.cancelled(); }));
}

static void group(asyncio::Task<>& me) {
  asyncio::await(asyncio::task_group([&me](asyncio::TaskGroup& tg) {
    const auto child = [&me] { asyncio::await(me); };
    tg.create_task({.name = "child"}, child).detach();
  }));
}

SCENARIO(097_cancel_ring_and_chain) {
  run([] {
    asyncio::Task<> a, b;
    const auto w = [](asyncio::Task<>& other) {
      asyncio::await(asyncio::sleep(0s));
      asyncio::await(other);
    };
    a = asyncio::create_task(w, std::ref(b));
    b = asyncio::create_task(w, std::ref(a));
    ticks(4);
    log("ring waits", std::vector{st(a), st(b)});
    a.cancel("x");
    ticks(4);
    log("still", std::vector{st(a), st(b)});
    chain_of(10);
    chain_of(500);
    asyncio::Task<> g;
    g = asyncio::create_task(group, std::ref(g));
    ticks(3);
    g.cancel();
    asyncio::await(asyncio::wait(list_of(g), {.timeout = 1s}));
    log("group whose child waits for it:", st(g));
    log("end");
    std::_Exit(0);
  });
}

}  // namespace conf::s097
