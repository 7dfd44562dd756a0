// SPDX-License-Identifier: Apache-2.0
//
// cancel() before the first step: the body never runs; message of the last cancel wins.
// The twin of python/018_cancel_not_started.py.
#include "../conf.h"

namespace conf::s018 {

static void body() {
  log("body ran (wrong)");
  try_finally([] {}, [] { log("finally ran (wrong)"); });
}

SCENARIO(018_cancel_not_started) {
  run([] {
    auto t = asyncio::create_task({.name = "T"}, body);
    const bool one = t.cancel("one");
    const bool two = t.cancel("two");
    log("cancel", one, two, "cancelling", t.cancelling(), "cancelled", t.cancelled(), "done", t.done());
    t.add_done_callback([](const asyncio::Future<>& x) { log("done-callback", st(x)); });
    try {
      asyncio::await(t);
    } catch (const asyncio::CancelledError&) {
      log("caught", exc());
    }
    const bool again = t.cancel();
    log("cancelled", t.cancelled(), "cancel again", again, "cancelling", t.cancelling());
    log("main's own cancelling()", cancelling());
  });
}

}  // namespace conf::s018
