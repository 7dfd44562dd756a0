// SPDX-License-Identifier: Apache-2.0
//
// set_task_factory: used by create_task, ensure_future, gather, TaskGroup; names.
// The twin of python/083_task_factory.py.
//
// A factory sees each task; it cannot choose another class for it.
#include "../conf.h"

namespace conf::s083 {

static const auto noop = asyncio::coroutine([] { return 1; });

SCENARIO(083_task_factory) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    int seen = 0;
    const auto factory = [&seen](asyncio::EventLoop&, const asyncio::AnyTask&) { ++seen; };
    const auto is_set = [&loop] { return static_cast<bool>(loop.get_task_factory()); };
    log(is_set() ? "set" : "None");
    loop.set_task_factory(factory);
    log(is_set());
    auto t = asyncio::create_task(noop(), {.name = "named"});
    log("Task", t.get_name());
    asyncio::await(t);
    t = asyncio::ensure_future(noop());
    log("Task");
    asyncio::await(t);
    asyncio::await(asyncio::gather(noop(), noop()));
    asyncio::await(asyncio::task_group([](asyncio::TaskGroup& tg) {
      tg.create_task(noop(), {.name = "g"}).detach();
      log("Task");
    }));
    log("calls", seen);
    loop.set_task_factory(nullptr);
    asyncio::create_task(noop()).detach();
    log("Task");
    asyncio::await(asyncio::sleep(0s));
  });
}

}  // namespace conf::s083
