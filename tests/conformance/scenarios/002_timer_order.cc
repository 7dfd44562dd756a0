// SPDX-License-Identifier: Apache-2.0
//
// Timers: by deadline, negative and zero delays, due timers queue behind ready callbacks.
// The twin of python/002_timer_order.py.
#include "../conf.h"

namespace conf::s002 {

SCENARIO(002_timer_order) {
  run([] {
    auto& loop = current_loop();
    loop.call_later(0s, log, "later 0");
    loop.call_later(-1s, log, "later -1");
    loop.call_later(-2s, log, "later -2");
    loop.call_later(.2s, log, "later .2");
    loop.call_later(.1s, log, "later .1");
    loop.call_at(asyncio::TimePoint(150ms), log, "at .15");
    loop.call_soon(log, "soon");
    log("scheduled");
    asyncio::await(asyncio::sleep(0s));
    log("main resumed by sleep(0)");
    asyncio::await(asyncio::sleep(.3s));
    const auto late = [&loop] {
      log("late, clock burnt");
      loop.burn(1s);
      loop.call_soon(log, "soon after burn");
    };
    loop.call_later(.5s, log, "t .5");
    loop.call_later(.4s, log, "t .4");
    loop.call_soon(late);
    asyncio::await(asyncio::sleep(.6s));
    log("end");
  });
}

}  // namespace conf::s002
