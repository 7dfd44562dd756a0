// SPDX-License-Identifier: Apache-2.0
//
// A child that gets cancelled fails the gather with CancelledError but does not cancel it.
// The twin of python/034_gather_cancel_child.py.
#include "../conf.h"

namespace conf::s034 {

SCENARIO(034_gather_cancel_child) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    auto a = loop.create_future<int>();
    auto b = loop.create_future<int>();
    auto c = loop.create_future<int>();
    auto g = asyncio::gather(a, b, c);
    a.set_result(1);
    b.cancel("child");
    ticks(2);
    log("gather done", g.done(), "cancelled()", g.cancelled());
    attempt("exception()", [&] { return g.exception(); });
    log("c untouched:", st(c));
    c.set_result(3);
    const auto outer = [](std::vector<asyncio::Future<int>> fs) {
      try {
        return asyncio::await(asyncio::gather(fs));
      } catch (const asyncio::CancelledError&) {
        log("outer task saw", exc());
        throw;
      }
    };
    auto fs = list_of(loop.create_future<int>(), loop.create_future<int>());
    auto t = asyncio::create_task(outer, fs);
    asyncio::await(asyncio::sleep(0s));
    fs[0].cancel("via child");
    asyncio::await(asyncio::wait(list_of(t)));
    log("task that awaited it is", st(t), "cancelling()", t.cancelling());
  });
}

}  // namespace conf::s034
