// SPDX-License-Identifier: Apache-2.0
//
// cancel() of a task that waits: error arrives at the await, finally runs, may await.
// The twin of python/019_cancel_suspended.py.
#include "../conf.h"

namespace conf::s019 {

static void body(asyncio::Future<> f) {
  try_finally(
      [&] {
        try {
          log("waiting");
          asyncio::await(f);
        } catch (const asyncio::CancelledError&) {
          log("in except", exc(), "cancelling", cancelling());
          throw;
        }
      },
      [] {
        log("finally: cleaning");
        asyncio::await(asyncio::sleep(.1s));
        log("finally: cleaned");
      });
}

SCENARIO(019_cancel_suspended) {
  run([] {
    auto f = asyncio::get_running_loop().create_future<>();
    auto t = asyncio::create_task(body, f);
    asyncio::await(asyncio::sleep(0s));
    log("cancel", t.cancel("m"));
    log("f is", st(f), "t is", st(t), "cancelled()", t.cancelled());
    asyncio::await(asyncio::sleep(0s));
    log("next pass: t is", st(t));
    try {
      asyncio::await(t);
    } catch (const asyncio::CancelledError&) {
      log("main caught", exc());
    }
    log("t", st(t));
  });
}

}  // namespace conf::s019
