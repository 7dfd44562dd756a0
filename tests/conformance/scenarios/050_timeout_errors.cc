// SPDX-License-Identifier: Apache-2.0
//
// timeout(): misuse messages, other exceptions, swallowed cancellation, foreign cancel.
// The twin of python/050_timeout_errors.py.
//
// Construction enters a scope, and the scope is gone when its body has ended. So most of Python's misuse
// cannot be written.
#include "../conf.h"

namespace conf::s050 {

SCENARIO(050_timeout_errors) {
  run([] {
    try {
      asyncio::await(asyncio::timeout(.1s, [] { asyncio::await(asyncio::sleep(1s)); }));
    } catch (const asyncio::TimeoutError&) {
    }
    bool expired = false;
    asyncio::await(asyncio::timeout(.1s, [&](asyncio::Timeout& cm) {
      try {
        asyncio::await(asyncio::sleep(1s));
      } catch (const asyncio::CancelledError&) {
        attempt("reschedule expiring", [&] { cm.reschedule(asyncio::TimePoint(5s)); });
      }
      log("swallowed: no TimeoutError will come", "cancelling", cancelling());
      expired = cm.expired();
    }));
    log("after", expired, "cancelling", cancelling());
    try {
      asyncio::await(asyncio::timeout(.1s, [&](asyncio::Timeout& cm) {
        try_finally([] { asyncio::await(asyncio::sleep(1s)); },
                    [&] {
                      expired = cm.expired();
                      throw KeyError("replaces the cancellation");
                    });
      }));
    } catch (const KeyError&) {
      log(exc(), "expired", expired, "cancelling", cancelling());
    }
    const auto victim = [] {
      asyncio::await(asyncio::timeout(5s, [](asyncio::Timeout& cm) {
        try_finally([] { asyncio::await(asyncio::sleep(1s)); },
                    [&] { log("victim expired()", cm.expired()); });
      }));
    };
    auto t = asyncio::create_task(victim);
    asyncio::await(asyncio::sleep(.1s));
    t.cancel("foreign");
    asyncio::await(asyncio::wait(list_of(t)));
    log(st(t));
    const auto cb = [] {
      auto c = asyncio::timeout(1s, [] {});
      try {
        asyncio::await(c);
      } catch (const asyncio::RuntimeError&) {
        log("without a task:", exc());
      }
      c.close();
    };
    asyncio::get_running_loop().call_soon(cb);
    asyncio::await(asyncio::sleep(0s));
  });
  attempt("timeout() outside a loop", [] { asyncio::timeout(1s, [] {}).close(); });
}

}  // namespace conf::s050
