// SPDX-License-Identifier: Apache-2.0
//
// Runner / run: several runs in one loop, context kept, left-over tasks cancelled, errors.
// The twin of python/056_runner.py.
#include "../conf.h"

namespace conf::s056 {
namespace {

asyncio::ContextVar<std::string> var("var", "unset");

const auto setv = asyncio::coroutine([](std::string v) -> std::string {
  const std::string old = var.get();
  var.set(v);
  asyncio::await(asyncio::sleep(0s));
  return old;
});

void left() {
  try {
    asyncio::await(asyncio::sleep(10s));
  } catch (const asyncio::CancelledError&) {
    log("left-over task cancelled");
    asyncio::await(asyncio::sleep(.1s));
    log("cleaned");
    throw;
  }
}

std::string leaves() {
  asyncio::create_task({.name = "left"}, left).detach();
  asyncio::await(asyncio::sleep(0s));
  return "main value";
}

void left_err() {
  try_finally([] { asyncio::await(asyncio::sleep(10s)); }, [] { throw KeyError("in clean-up"); });
}

void leaves2() {
  asyncio::create_task({.name = "left_err"}, left_err).detach();
  asyncio::await(asyncio::sleep(0s));
}

}  // namespace

SCENARIO(056_runner) {
  tap_logger();
  asyncio::Runner r({.loop_factory = make_loop});
  attempt("run 1", [&] { return r.run(setv("one")); });
  attempt("run 2", [&] { return r.run(setv("two")); });
  attempt("same loop", [&] { return &r.get_loop() == &r.get_loop(); });
  attempt("run failing", [&] { r.run([] { throw ValueError("v"); }); });
  const auto nest = [&r] {
    auto c = setv("x");
    try_finally([&] { return r.run(std::move(c)); }, [&] { c.close(); });
  };
  attempt("nested", [&] { r.run(nest); });
  attempt("leaves", [&] { return r.run(leaves); });
  r.get_loop().set_exception_handler(&trace_handler);
  r.run(leaves2);
  log("closing the runner");
  r.close();
  log("closed", current_loop_is_closed(), "outer context untouched:", var.get());
  attempt("get_loop", [&] { (void)r.get_loop(); });
  auto c = setv("z");
  attempt("run", [&] { return r.run(std::move(c)); });
  c.close();
  attempt("close again", [&] { r.close(); });
  attempt("asyncio.run", [] { return asyncio::run([] { return 42; }); });
}

}  // namespace conf::s056
