// SPDX-License-Identifier: Apache-2.0
//
// call_soon_threadsafe keeps FIFO per caller and wakes a sleeping loop.
// The twin of python/010_threadsafe.py.
#include "../conf.h"

#include <thread>

namespace conf::s010 {

SCENARIO(010_threadsafe) {
  if (strict()) {
    log("(no strict trace: real threads)");
    return;
  }
  run([] {
    auto& loop = current_loop();
    loop.set_may_block(true);
    auto fut = loop.create_future<std::string>();
    loop.call_soon_threadsafe(log, "same thread 1");
    loop.call_soon(log, "same thread 2");
    asyncio::await(asyncio::sleep(0s));
    std::thread th([&loop, &fut] {
      for (int i = 0; i < 3; ++i) loop.call_soon_threadsafe(log, "from thread", i);
      loop.call_soon_threadsafe([&fut] { fut.set_result("woken"); });
    });
    log("result", asyncio::await(fut));
    th.join();
  });
}

}  // namespace conf::s010
