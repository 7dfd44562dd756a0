// SPDX-License-Identifier: Apache-2.0
//
// wait_for with timeout 0 or negative.
// The twin of python/041_wait_for_zero.py.
#include "../conf.h"

namespace conf::s041 {

static const auto body = asyncio::coroutine([] { log("body ran (wrong)"); });

static void val() {
  try {
    log("val started");
    asyncio::await(asyncio::sleep(1s));
  } catch (const asyncio::CancelledError&) {
    log("val cancelled");
    throw;
  }
}

SCENARIO(041_wait_for_zero) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    for (const auto z : {0s, -1s}) {
      auto f = loop.create_future<std::string>();
      f.set_result("done");
      log("done future", asyncio::await(asyncio::wait_for(f, z)));
      f = loop.create_future<std::string>();
      f.set_exception(ValueError("v"));
      try {
        asyncio::await(asyncio::wait_for(f, z));
      } catch (const ValueError&) {
        log("failed future", exc());
      }
      try {
        asyncio::await(asyncio::wait_for(body(), z));
      } catch (const asyncio::TimeoutError&) {
        log("coroutine never started");
      }
      auto t = asyncio::create_task(val);
      asyncio::await(asyncio::sleep(0s));
      try {
        asyncio::await(asyncio::wait_for(t, z));
      } catch (const asyncio::TimeoutError&) {
        log("running task", st(t));
      }
    }
  });
}

}  // namespace conf::s041
