// SPDX-License-Identifier: Apache-2.0
//
// On timeout wait_for waits for the inner task: value, other error, slow clean-up, never.
// The twin of python/042_wait_for_inner_reacts.py.
#include "../conf.h"

namespace conf::s042 {

static const auto inner = asyncio::coroutine([](std::string how) -> std::string {
  try {
    asyncio::await(asyncio::sleep(1s));
  } catch (const asyncio::CancelledError&) {
    log("inner cleaning");
    asyncio::await(asyncio::sleep(.5s));
    if (how == "value") return "value after cancel";
    if (how == "error") throw KeyError("after cancel");
    throw;
  }
  return "";
});

SCENARIO(042_wait_for_inner_reacts) {
  run([] {
    for (const char* how : {"propagate", "value", "error"}) {
      try {
        log(how, "->", asyncio::await(asyncio::wait_for(inner(how), .1s)));
      } catch (const std::exception&) {
        log(how, "raised", exc());
      }
    }
    // stubborn: ignores the first cancellation; the waiter itself can still be cancelled
    const auto stubborn = [] {
      for (int i = 0; i < 2; ++i) {
        try {
          asyncio::await(asyncio::sleep(.3s));
        } catch (const asyncio::CancelledError&) {
          log("stubborn ignores cancel", i);
        }
      }
      return 42;
    };
    auto it = asyncio::create_task(stubborn);
    auto w = asyncio::create_task(asyncio::wait_for(it, .1s));
    asyncio::await(asyncio::sleep(.2s));
    w.cancel("outer");
    asyncio::await(asyncio::wait(list_of(w)));
    log("w", st(w), "inner", st(it));
    log("inner", asyncio::await(it));
  });
}

}  // namespace conf::s042
