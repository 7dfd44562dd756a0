// SPDX-License-Identifier: Apache-2.0
//
// run_until_complete: result, exception, early stop, already done future, reuse.
// The twin of python/006_run_until_complete.py.
#include "../conf.h"

namespace conf::s006 {

SCENARIO(006_run_until_complete) {
  tap_logger();
  auto& loop = new_loop();
  const auto ok = asyncio::coroutine([] {
    log("ok body");
    return 7;
  });
  const auto bad = asyncio::coroutine([] { throw ValueError("x"); });
  const auto stopper = asyncio::coroutine([&loop]() -> std::string {
    loop.stop();
    log("stopped");
    asyncio::await(asyncio::sleep(1s));
    return "late";
  });
  attempt("ok", [&] { return loop.run_until_complete(ok()); });
  attempt("bad", [&] { return loop.run_until_complete(bad()); });
  auto t = loop.create_task(stopper());
  attempt("stopper", [&] { return loop.run_until_complete(t); });
  log("task is", st(t));
  attempt("again", [&] { return loop.run_until_complete(t); });
  auto f = loop.create_future<std::string>();
  f.set_result("done already");
  loop.call_soon(log, "a ready callback runs in the one pass it takes");
  attempt("done future", [&] { return loop.run_until_complete(f); });
  auto c = loop.create_future<>();
  c.cancel("why");
  attempt("cancelled future", [&] { return loop.run_until_complete(c); });
  // Python's object with __await__ is here any callable: it runs when the task does, not before.
  const auto aw = [&ok] {
    log("__await__");
    return asyncio::await(ok());
  };
  attempt("awaitable object", [&] { return loop.run_until_complete(aw); });
  loop.close();
}

}  // namespace conf::s006
