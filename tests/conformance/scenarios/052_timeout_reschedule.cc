// SPDX-License-Identifier: Apache-2.0
//
// reschedule: later, earlier, None, into the past, from another callback.
// The twin of python/052_timeout_reschedule.py.
#include "../conf.h"

namespace conf::s052 {

SCENARIO(052_timeout_reschedule) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    bool expired = false;
    asyncio::await(asyncio::timeout(.1s, [&](asyncio::Timeout& cm) {
      cm.reschedule(loop.time() + 500ms);
      asyncio::await(asyncio::sleep(.3s));
      log("moved later", cm.expired());
      cm.reschedule(std::nullopt);
      log(cm);
      asyncio::await(asyncio::sleep(1s));
      log("disabled");
      cm.reschedule(loop.time() + 1s);
    }));
    std::optional<asyncio::TimePoint> when;
    try {
      asyncio::await(asyncio::timeout(10s, [&](asyncio::Timeout& cm) {
        loop.call_later(.1s, [&] { cm.reschedule(loop.time() + 100ms); });
        try_finally([] { asyncio::await(asyncio::sleep(5s)); }, [&] { when = cm.when(); });
      }));
    } catch (const asyncio::TimeoutError&) {
      log("moved earlier from outside", when);
    }
    try {
      asyncio::await(asyncio::timeout(10s, [&](asyncio::Timeout& cm) {
        cm.reschedule(loop.time() - 5s);
        log("in the past: not yet", cm.expired());
        try_finally([] { asyncio::await(asyncio::sleep(5s)); }, [&] { expired = cm.expired(); });
      }));
    } catch (const asyncio::TimeoutError&) {
      log("fired", expired);
    }
    asyncio::await(asyncio::timeout(10s, [&](asyncio::Timeout& cm) {
      cm.reschedule(loop.time());
      cm.reschedule(loop.time() + 5s);
      asyncio::await(asyncio::sleep(.1s));
      expired = cm.expired();
    }));
    log("a pending immediate expiry can be taken back", expired);
  });
}

}  // namespace conf::s052
