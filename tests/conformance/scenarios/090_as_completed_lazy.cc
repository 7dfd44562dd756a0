// SPDX-License-Identifier: Apache-2.0
//
// as_completed starts all inputs at the call; finished but unread items survive the timeout; the other inputs
// keep running.
// The twin of python/090_as_completed_lazy.py.
#include "../conf.h"

namespace conf::s090 {

static const auto val = asyncio::coroutine([](std::string n, asyncio::Duration d) {
  asyncio::await(asyncio::sleep(d));
  log("end", n);
  return n;
});

SCENARIO(090_as_completed_lazy) {
  run([] {
    {
      auto it = asyncio::as_completed(list_of(val("a", .1s)));
      log("tasks before first next()", asyncio::all_tasks().size());
      auto x = *it.begin();
      log("after", asyncio::all_tasks().size());
      log(asyncio::await(x));
    }
    auto ts = std::vector{asyncio::create_task(val("early", .1s)), asyncio::create_task(val("late", 3s))};
    std::vector<asyncio::Coroutine<std::string>> cs;
    for (auto&& c : asyncio::as_completed(ts, .2s)) cs.push_back(std::move(c));
    asyncio::await(asyncio::sleep(1s));
    for (auto& c : cs) {
      try {
        log("item", asyncio::await(c));
      } catch (const asyncio::TimeoutError&) {
        log("item TimeoutError");
      }
    }
    for (auto&& c : asyncio::as_completed(list_of(val("p", .1s), val("q", .3s)))) {
      log("break after", asyncio::await(std::move(c)));
      break;
    }
    asyncio::await(asyncio::sleep(2s));
    auto t = asyncio::create_task([]() -> std::string { throw ValueError("b"); });
    asyncio::await(asyncio::sleep(0s));
    for (auto&& c : asyncio::as_completed(list_of(t, asyncio::ensure_future(val("ok", .1s))))) {
      try {
        log(asyncio::await(std::move(c)));
      } catch (const ValueError&) {
        log("failed input", exc(), std::current_exception() == t.exception());
      }
    }
    auto sleeper = asyncio::create_task(asyncio::sleep(9s));
    sleeper.cancel();
    for (auto&& c : asyncio::as_completed(list_of(sleeper))) {
      try {
        asyncio::await(std::move(c));
      } catch (const asyncio::CancelledError&) {
        log("cancelled input raises", exc(), "me", cancelling());
      }
    }
    for (auto&& x : asyncio::as_completed(list_of(val("never read", .1s)), 0s)) {
      try {
        asyncio::await(std::move(x));
      } catch (const asyncio::TimeoutError&) {
        log("timeout 0; the task goes on");
      }
    }
    asyncio::await(asyncio::sleep(.5s));
  });
}

}  // namespace conf::s090
