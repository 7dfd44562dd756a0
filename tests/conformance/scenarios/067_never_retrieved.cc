// SPDX-License-Identifier: Apache-2.0
//
// Reports at destruction: unread exceptions, coroutines never awaited, and no pending tasks.
// The twin of python/067_never_retrieved.py.
//
// The loop keeps its tasks: a suspended task without other references lives on, until it is cancelled at the
// end.
#include "../conf.h"

static void hang(asyncio::Future<> f) { asyncio::await(f); }  // global: its name is a part of a report

namespace conf::s067 {

static void bad() { throw ValueError("unread"); }

SCENARIO(067_never_retrieved) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    const auto hanging = asyncio::coroutine(hang);
    auto f = loop.create_future<>();
    f.set_exception(KeyError("k"));
    log("drop a failed future");
    f = {};
    auto t = asyncio::create_task(bad);
    asyncio::await(asyncio::sleep(0s));
    log("drop a failed task");
    t = {};
    asyncio::await(asyncio::sleep(0s));
    t = asyncio::create_task(bad);
    asyncio::await(asyncio::sleep(0s));
    log("cancel() on the failed task silences it", t.cancel());
    t = {};
    t = asyncio::create_task(bad);
    asyncio::await(asyncio::sleep(0s));
    log("exception() silences it", exc(t.exception()));
    t = {};
    f = loop.create_future<>();
    f.set_exception(KeyError("k"));
    f.add_done_callback([](const asyncio::Future<>&) {});
    asyncio::await(asyncio::sleep(0s));
    log("a callback that does not look at it does not");
    f = {};
    f = loop.create_future<>();
    f.cancel();
    f = {};
    log("cancelled futures are silent");
    t = asyncio::create_task(hang, loop.create_future<>());
    asyncio::await(asyncio::sleep(0s));
    log("drop a suspended task");
    t = {};
    log("create and drop a coroutine");
    (void)hanging(asyncio::Future<>());
    {
      auto c = hanging(asyncio::Future<>());
      log("close() silences it");
      c.close();
    }
    auto g = asyncio::gather(hanging(loop.create_future<>()));
    asyncio::await(asyncio::sleep(0s));
    log("drop a gather: children are not reported");
    g = {};
  });
}

}  // namespace conf::s067
