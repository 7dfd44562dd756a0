// SPDX-License-Identifier: Apache-2.0
//
// Context: tasks copy it, callbacks capture it, explicit context, done-callbacks.
// The twin of python/073_contextvars.py.
#include "../conf.h"

namespace conf::s073 {

static asyncio::ContextVar<std::string> v("v", "default");

static void child(const std::string& n) {
  log(n, "sees", v.get());
  v.set(n);
  asyncio::await(asyncio::sleep(0s));
  log(n, "kept", v.get());
}

SCENARIO(073_contextvars) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    v.set("main");
    std::vector both{asyncio::create_task(child, std::string("a")),
                     asyncio::create_task(child, std::string("b"))};
    v.set("changed after create");
    asyncio::await(asyncio::wait(both));
    log("main", v.get());
    child("direct");
    log("a plain await shares", v.get());
    v.set("at call_soon");
    loop.call_soon([] { log("callback", v.get()); });
    v.set("later");
    asyncio::await(asyncio::sleep(0s));
    auto f = loop.create_future<int>();
    v.set("at add_done_callback");
    f.add_done_callback([](const asyncio::Future<int>&) {
      log("done-callback", v.get());
      v.set("lost");
    });
    v.set("at set_result");
    f.set_result(0);
    asyncio::await(asyncio::sleep(0s));
    log("main", v.get());
    const asyncio::Context ctx = asyncio::copy_context();
    asyncio::await(asyncio::create_task({.context = ctx}, child, std::string("in ctx")));
    log("explicit context keeps changes", ctx.run([] { return v.get(); }), "main", v.get());
    loop.call_soon({.context = ctx}, [] { log("explicit in call_soon", v.get()); });
    asyncio::await(asyncio::sleep(0s));
  });
}

}  // namespace conf::s073
