// SPDX-License-Identifier: Apache-2.0
//
// cancelling()/uncancel() count; uncancel to 0 withdraws a cancel that was not delivered yet.
// The twin of python/024_uncancel.py.
#include "../conf.h"

namespace conf::s024 {

static std::string body() {
  auto me = *asyncio::current_task();
  try {
    asyncio::await(asyncio::sleep(10s));
  } catch (const asyncio::CancelledError&) {
    const int before = me.cancelling();
    const int once = me.uncancel();
    const int twice = me.uncancel();
    log("caught; cancelling", before, "uncancel ->", once, "again ->", twice);
  }
  asyncio::await(asyncio::sleep(.1s));
  log("finished normally");
  return "ok";
}

SCENARIO(024_uncancel) {
  run([] {
    auto t = asyncio::create_task({.name = "T"}, body);
    asyncio::await(asyncio::sleep(0s));
    log("before", t.cancelling());
    t.cancel();
    t.cancel();
    log("after two cancels", t.cancelling());
    const std::string result = asyncio::await(t);
    const int count = t.cancelling();
    log("result", result, "cancelling", count, "uncancel on done ->", t.uncancel());
    const auto simple = []() -> std::string {
      log("body ran (3.13+ only)");
      return "ran";
    };
    t = asyncio::create_task(simple);
    t.cancel("still delivered");
    log("uncancel before it is delivered ->", t.uncancel());
    asyncio::await(asyncio::wait(list_of(t)));
    log(st(t));
  });
}

}  // namespace conf::s024
