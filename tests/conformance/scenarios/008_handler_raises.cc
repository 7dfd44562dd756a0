// SPDX-License-Identifier: Apache-2.0
//
// A custom exception handler that itself fails; default handler text; get/set.
// The twin of python/008_handler_raises.py.
#include "../conf.h"

namespace conf {

static void bad() { throw ValueError("bad"); }

SCENARIO(008_handler_raises) {
  run(
      [] {
        auto& loop = asyncio::get_running_loop();
        loop.set_exception_handler([&loop](asyncio::EventLoop& lp, const asyncio::ExceptionContext& context) {
          log("handler got", scrub(context.message), exc(context.exception), &lp == &loop);
          throw asyncio::RuntimeError("in handler");
        });
        log(static_cast<bool>(loop.get_exception_handler()));
        loop.call_soon(bad);
        asyncio::await(asyncio::sleep(0s));
        loop.set_exception_handler(nullptr);
        log(loop.get_exception_handler() ? "a handler" : "None");
        loop.call_exception_handler({});
        asyncio::ExceptionContext hello;
        hello.message = "hello";
        hello.extra = {{"zeta", py(1)}, {"alpha", py("two")}};
        hello.exception = std::make_exception_ptr(OSError(2, "nope"));
        loop.call_exception_handler(hello);
        loop.set_exception_handler([](asyncio::EventLoop&, const asyncio::ExceptionContext& context) {
          std::vector<std::pair<std::string, std::string>> items;
          for (const std::string& key : context.keys()) {
            items.emplace_back(key, key == "message" ? context.message : "?");
          }
          log("custom", items);
        });
        asyncio::ExceptionContext m;
        m.message = "m";
        loop.call_exception_handler(m);
      },
      {.handler = false});
}

}  // namespace conf
