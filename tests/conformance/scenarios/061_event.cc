// SPDX-License-Identifier: Apache-2.0
//
// Event: set wakes all in order, set+clear still wakes, wait on set does not yield, cancel.
// The twin of python/061_event.py.
#include "../conf.h"

namespace conf::s061 {

static void w(const std::string& n, asyncio::Event& ev) {
  try {
    const bool value = asyncio::await(ev.wait());
    log(n, "->", value, "is_set", ev.is_set());
  } catch (const asyncio::CancelledError&) {
    log(n, "cancelled");
    throw;
  }
}

SCENARIO(061_event) {
  run([] {
    asyncio::Event ev;
    const auto waiter = [&ev](const char* n) {
      return asyncio::create_task(w, std::string(n), std::ref(ev));
    };
    std::vector ts{waiter("a"), waiter("b"), waiter("c")};
    asyncio::await(asyncio::sleep(0s));
    log(lock_state(ev));
    ts[1].cancel();
    ev.set();
    log(lock_state(ev));
    ts.push_back(waiter("d"));
    asyncio::await(asyncio::wait(ts));
    log(lock_state(ev));
    asyncio::get_running_loop().call_soon(log, "callback");
    log(asyncio::await(ev.wait()), "no yield");
    asyncio::await(asyncio::sleep(0s));
    ev.clear();
    ts = {waiter("e")};
    asyncio::await(asyncio::sleep(0s));
    ev.set();
    ev.clear();
    ts.push_back(waiter("f"));
    ticks(3);
    log("e woken although cleared; f waits", std::vector{st(ts[0]), st(ts[1])});
    ev.set();
    ev.set();
    asyncio::await(asyncio::wait(ts));
  });
}

}  // namespace conf::s061
