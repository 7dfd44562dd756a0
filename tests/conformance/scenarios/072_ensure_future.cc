// SPDX-License-Identifier: Apache-2.0
//
// ensure_future: coroutine, task, future, callable object, loop argument.
// The twin of python/072_ensure_future.py.
//
// Python's awaitable object, which has __await__(), is a callable here.
#include "../conf.h"

namespace conf::s072 {

static const auto c = asyncio::coroutine([] { return std::string("c"); });

struct Aw {
  std::string operator()() const {
    log("__await__ runs in the task", asyncio::current_task()->get_name());
    asyncio::await(asyncio::sleep(0s));
    return "aw";
  }
};

template <class T>
static const char* type_name(const asyncio::Task<T>&) {
  return "Task";
}
template <class T>
static const char* type_name(const asyncio::Future<T>&) {
  return "Future";
}

SCENARIO(072_ensure_future) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    auto t = asyncio::ensure_future(c());
    const bool same = asyncio::ensure_future(t) == t;
    const std::string value = asyncio::await(t);
    log(type_name(t), same, &t.get_loop() == &loop, value);
    auto f = loop.create_future<>();
    log(asyncio::ensure_future(f) == f);
    f.cancel();
    log("done ones too", asyncio::ensure_future(f) == f);
    t = asyncio::ensure_future(Aw());
    t.set_name("aw");
    const std::string aw = asyncio::await(t);
    log(type_name(t), aw);
    TestLoop other;
    attempt("other loop's future", [&] { return asyncio::ensure_future(other.create_future<>(), &loop); });
    // Closing the other loop drops the task; its report is of no interest here.
    other.set_exception_handler([](asyncio::EventLoop&, const asyncio::ExceptionContext&) {});
    t = asyncio::ensure_future(c(), &other);
    log("explicit loop", &t.get_loop() == &other);
    other.close();
    auto x = c();
    attempt("closed loop", [&] { return asyncio::ensure_future(std::move(x), &other); });
    try {
      asyncio::await(x);
    } catch (const asyncio::RuntimeError&) {
      log("the coroutine was closed:", exc());
    }
  });
  asyncio::set_event_loop(nullptr);
  auto x = c();
  attempt("no loop", [&] { return asyncio::ensure_future(std::move(x)); });
  x.close();
}

}  // namespace conf::s072
