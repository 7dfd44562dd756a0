// SPDX-License-Identifier: Apache-2.0
//
// shield: outer cancelled, inner cancelled, exception, already done, late inner failure.
// The twin of python/046_shield.py.
#include "../conf.h"

namespace conf::s046 {

static std::string inner(std::string n, std::string how) {
  try {
    asyncio::await(asyncio::sleep(.2s));
    log("inner", n, "ends");
    if (how == "error") throw ValueError(n);
    return n;
  } catch (const asyncio::CancelledError&) {
    log("inner", n, "cancelled (bad)");
    throw;
  }
}

static std::string outer(asyncio::Task<std::string> t) {
  try {
    return asyncio::await(asyncio::shield(t));
  } catch (const asyncio::CancelledError&) {
    log("outer", exc());
    throw;
  }
}

SCENARIO(046_shield) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    auto t = asyncio::create_task(inner, "A", "value");
    auto o = asyncio::create_task(outer, t);
    asyncio::await(asyncio::sleep(.1s));
    log("cancel outer", o.cancel("O"));
    asyncio::await(asyncio::wait(list_of(o)));
    log(st(o), "inner", st(t));
    log(asyncio::await(t));
    auto f = loop.create_future<std::string>();
    auto s = asyncio::shield(f);
    f.cancel("inner msg");
    ticks(2);
    log("inner cancelled -> shield", st(s));
    attempt("message lost", [&] { return s.result(); });
    f = loop.create_future<std::string>();
    s = asyncio::shield(f);
    f.set_exception(KeyError("k"));
    try {
      asyncio::await(s);
    } catch (const KeyError&) {
      log("exception passes", std::current_exception() == f.exception());
    }
    f = loop.create_future<std::string>();
    f.set_result("1");
    log("done input is returned itself", asyncio::shield(f) == f);
    t = asyncio::create_task(inner, "B", "error");
    s = asyncio::shield(t);
    s.cancel();
    asyncio::await(asyncio::sleep(.3s));
    log("inner failed after the outer was cancelled; nobody read it:");
    s = {};
    t = {};
    f = loop.create_future<std::string>();
    s = asyncio::shield(f);
    f.set_result("r");
    log("same pass: cancel", s.cancel());
    ticks(2);
    log("shield", st(s), "inner", st(f));
  });
}

}  // namespace conf::s046
