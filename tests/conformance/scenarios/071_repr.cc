// SPDX-License-Identifier: Apache-2.0
//
// repr of futures, tasks and handles in every state.
// The twin of python/071_repr.py.
#include "../conf.h"

#include <regex>

// Global: their names are a part of the texts.
static void cb1(const asyncio::AnyFuture&) {}
static void cb2(const asyncio::AnyFuture&) { asm volatile("nop"); }  // else one function with cb1
static int body(asyncio::Future<int> f) { return asyncio::await(f); }
// Python calls cb1 in handles, too.
static void called(int, const char*) {}
static void me() { conf::log("running", repr(*asyncio::current_task())); }

namespace conf::s071 {

template <class T>
static void p(const char* label, const T& object) {
  static const std::regex when("when=[0-9]+\\.[0-9]+");
  log(label, std::regex_replace(scrub(repr(object)), when, "when=T"));
}

static void futures() {
  auto& loop = asyncio::get_running_loop();
  auto f = loop.create_future<std::string>();
  p("pending", f);
  f.add_done_callback(cb1);
  p("1 cb", f);
  f.add_done_callback(cb2);
  p("2 cbs", f);
  for (int i = 0; i < 3; ++i) f.add_done_callback(cb1);
  p("5 cbs", f);
  f.set_result(std::string(60, 'x'));
  p("long result", f);
  f = loop.create_future<std::string>();
  f.set_exception(ValueError("v"));
  p("exception", f);
  (void)f.exception();
  f = loop.create_future<std::string>();
  f.cancel("m");
  p("cancelled", f);
}

SCENARIO(071_repr) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    futures();
    auto g = loop.create_future<int>();
    auto t = loop.create_task({.name = "N"}, body, g);
    p("not started", t);
    asyncio::await(asyncio::sleep(0s));
    p("suspended", t);
    t.cancel();
    p("cancelling", t);
    asyncio::await(asyncio::wait(list_of(t)));
    p("cancelled", t);
    t = loop.create_task(asyncio::sleep(0s, 5), {.name = "S"});
    asyncio::await(t);
    p("finished", t);
    const auto h = loop.call_soon(called, 1, "a");
    p("handle", h);
    h.cancel();
    p("cancelled handle", h);
    const auto timer = loop.call_later(5s, called, 1, "a");
    p("timer", timer);
    timer.cancel();
    p("cancelled timer", timer);
    p("loop", loop);
    asyncio::await(loop.create_task({.name = "R"}, me));
    auto g2 = loop.create_future<int>();
    auto in = loop.create_task({.name = "in"}, body, g2);
    auto outer = loop.create_task({.name = "out"}, body, in);
    ticks(2);
    p("chain", outer);
    g2.set_result(0);
    asyncio::await(outer);
  });
}

}  // namespace conf::s071
