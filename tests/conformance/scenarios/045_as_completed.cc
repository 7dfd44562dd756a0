// SPDX-License-Identifier: Apache-2.0
//
// as_completed: order of completion, exceptions, duplicates, timeout, awaiting out of order.
// The twin of python/045_as_completed.py.
//
// Where Python gives one coroutine object twice, the twin gives one task twice: a Coroutine has one owner.
#include "../conf.h"

namespace conf::s045 {

static const auto val = asyncio::coroutine([](std::string n, asyncio::Duration d) {
  asyncio::await(asyncio::sleep(d));
  return n;
});

static const auto bad = asyncio::coroutine([](asyncio::Duration d) -> std::string {
  asyncio::await(asyncio::sleep(d));
  throw ValueError("bad");
});

SCENARIO(045_as_completed) {
  run([] {
    for (auto&& c : asyncio::as_completed(list_of(val("c", .3s), val("a", .1s), bad(.2s)))) {
      try {
        log("got", asyncio::await(std::move(c)));
      } catch (const ValueError&) {
        log("err", exc());
      }
    }
    auto dup = asyncio::ensure_future(val("dup", .1s));
    int n = 0;
    for (auto&& c : asyncio::as_completed(list_of(dup, dup, asyncio::ensure_future(val("x", .2s))))) {
      log("dup test", asyncio::await(std::move(c)));
      n += 1;
    }
    log("items", n);
    auto ts = std::vector{asyncio::create_task(val("in time", .1s)), asyncio::create_task(val("late", 1s))};
    for (auto&& c : asyncio::as_completed(ts, .5s)) {
      try {
        log(asyncio::await(std::move(c)));
      } catch (const asyncio::TimeoutError&) {
        log("timeout", exc());
      }
    }
    log("late task not cancelled:", st(ts[1]));
    log(asyncio::await(ts[1]));
    std::vector<asyncio::Coroutine<std::string>> cs;
    for (auto&& c : asyncio::as_completed(list_of(val("second", .2s), val("first", .1s))))
      cs.push_back(std::move(c));
    auto x = asyncio::create_task(std::move(cs[1]));
    asyncio::await(asyncio::sleep(0s));
    const std::string first = asyncio::await(x);
    const std::string second = asyncio::await(cs[0]);
    log("whoever waits first gets the first:", first, second);
    std::vector<asyncio::Coroutine<int>> items;
    for (auto&& c : asyncio::as_completed(std::vector<asyncio::Task<int>>{})) items.push_back(std::move(c));
    log("empty:", std::vector<int>(items.size()));
    auto f = asyncio::get_running_loop().create_future<std::string>();
    f.set_result("already");
    for (auto&& c : asyncio::as_completed(list_of(f))) log(asyncio::await(std::move(c)));
  });
}

}  // namespace conf::s045
