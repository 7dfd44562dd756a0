// SPDX-License-Identifier: Apache-2.0
//
// call_soon is FIFO; a callback that another callback schedules runs in the next pass.
// The twin of python/001_call_soon_order.py.
#include "../conf.h"

namespace conf::s001 {

SCENARIO(001_call_soon_order) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    const auto a = [&loop] {
      log("a");
      loop.call_soon(log, "a.child");
    };
    loop.call_soon(a);
    loop.call_soon(log, "b");
    loop.call_soon(log, "c", 1, 2);
    log("scheduled");
    asyncio::await(asyncio::sleep(0s));
    log("main again");
    asyncio::await(asyncio::sleep(0s));
    log("main third");
  });
}

}  // namespace conf::s001
