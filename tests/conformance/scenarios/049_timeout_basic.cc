// SPDX-License-Identifier: Apache-2.0
//
// timeout(): expiry, no expiry, None, zero, past, expired(), when(), repr.
// The twin of python/049_timeout_basic.py.
//
// A scope exists while its body runs. So the twin reads at the body's end what Python reads afterwards
// (leaving the scope does not suspend, so the deadline cannot fire in between).
#include "../conf.h"

namespace conf::s049 {

SCENARIO(049_timeout_basic) {
  run([] {
    auto& loop = current_loop();
    bool expired = false;
    std::optional<asyncio::TimePoint> when;
    try {
      asyncio::await(asyncio::timeout(.1s, [&](asyncio::Timeout& cm) {
        log(cm, cm.when());
        try {
          asyncio::await(asyncio::sleep(1s));
        } catch (const asyncio::CancelledError&) {
          log("inside", exc(), cm, "expired", cm.expired(), "cancelling", cancelling());
          expired = cm.expired();
          throw;
        }
      }));
    } catch (const asyncio::TimeoutError&) {
      log("TimeoutError", exc(), expired, "cancelling", cancelling());
    }
    asyncio::await(asyncio::timeout(5s, [&](asyncio::Timeout& cm) {
      asyncio::await(asyncio::sleep(.1s));
      expired = cm.expired();
      when = cm.when();
    }));
    log(expired, "when", when, "live timers", loop.live_timers());
    asyncio::await(asyncio::timeout(std::nullopt, [](asyncio::Timeout& cm) {
      log(cm, cm.when());
      asyncio::await(asyncio::sleep(.1s));
    }));
    for (const auto& [label, d] : {std::pair("0", 0s), std::pair("-1", -1s)}) {
      const char* name = label;  // clang 14 captures no structured bindings
      try {
        asyncio::await(asyncio::timeout(d, [] {
          asyncio::await(asyncio::sleep(0s));
          log("not reached");
        }));
      } catch (const asyncio::TimeoutError&) {
        log("delay", name, "fires at the first yield");
      }
      asyncio::await(asyncio::timeout(d, [&](asyncio::Timeout& cm) {
        log("no yield inside:", name);
        expired = cm.expired();
      }));
      log("finished", expired);
    }
    try {
      asyncio::await(asyncio::timeout_at(loop.time() + 100ms, [&](asyncio::Timeout& cm) {
        when = cm.when();
        asyncio::await(asyncio::sleep(1s));
      }));
    } catch (const asyncio::TimeoutError&) {
      log("timeout_at", when);
    }
    auto f = loop.create_future<int>();
    f.set_result(1);
    asyncio::await(asyncio::timeout(0s, [&f] { log("a done future does not yield", asyncio::await(f)); }));
    asyncio::await(asyncio::sleep(0s));
    log("no stray cancellation");
  });
}

}  // namespace conf::s049
