// SPDX-License-Identifier: Apache-2.0
//
// Cancelling wait_for cancels the inner task and waits until it ended.
// The twin of python/044_wait_for_outer_cancel.py.
#include "../conf.h"

namespace conf::s044 {

static std::string inner(std::string how) {
  try {
    asyncio::await(asyncio::sleep(10s));
  } catch (const asyncio::CancelledError&) {
    log("inner", exc());
    asyncio::await(asyncio::sleep(.2s));
    log("inner cleaned");
    if (how == "value") return "v";
    if (how == "error") throw KeyError("inner failed");
    throw;
  }
  return "";
}

SCENARIO(044_wait_for_outer_cancel) {
  run([] {
    for (const char* how : {"propagate", "value", "error"}) {
      auto it = asyncio::create_task(inner, how);
      auto w = asyncio::create_task(asyncio::wait_for(it, 5s));
      asyncio::await(asyncio::sleep(.1s));
      log("cancel", how);
      w.cancel("OUTER");
      asyncio::await(asyncio::wait(list_of(w)));
      log("w", st(w), "inner", st(it));
      try {
        (void)w.result();
      } catch (...) {
        log("w.result()", exc());
      }
    }
    auto f = asyncio::get_running_loop().create_future<>();
    auto w = asyncio::create_task(asyncio::wait_for(asyncio::shield(f), 5s));
    asyncio::await(asyncio::sleep(.1s));
    w.cancel();
    asyncio::await(asyncio::wait(list_of(w)));
    log("shielded future", st(f));
    f.cancel();
  });
}

}  // namespace conf::s044
