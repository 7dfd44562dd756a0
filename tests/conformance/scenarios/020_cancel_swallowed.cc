// SPDX-License-Identifier: Apache-2.0
//
// A task may swallow a cancellation; later cancels work again; counts keep growing.
// The twin of python/020_cancel_swallowed.py.
#include "../conf.h"

namespace conf::s020 {

static std::string body() {
  for (int i = 0; i < 3; ++i) {
    try {
      asyncio::await(asyncio::sleep(10s));
    } catch (const asyncio::CancelledError&) {
      log("swallow", i, exc(), "cancelling", cancelling());
    }
  }
  return "survived";
}

SCENARIO(020_cancel_swallowed) {
  run([] {
    auto t = asyncio::create_task(body);
    for (int i = 0; i < 3; ++i) {
      asyncio::await(asyncio::sleep(.1s));
      const bool accepted = t.cancel("c" + std::to_string(i));
      log("cancel", i, accepted, "cancelled()", t.cancelled());
    }
    const std::string result = asyncio::await(t);
    log("result", result, "cancelled()", t.cancelled(), "cancelling", t.cancelling());
  });
}

}  // namespace conf::s020
