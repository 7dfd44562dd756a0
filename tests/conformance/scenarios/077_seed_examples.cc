// SPDX-License-Identifier: Apache-2.0
//
// The programs of the page on tasks and coroutines (3.5), in the current syntax.
// The twin of python/077_seed_examples.py.
#include "../conf.h"

namespace conf::s077 {

static void hello() { log("Hello World!"); }

static void clock(int n) {
  for (int i = 0; i < n; ++i) {
    log("tick");
    asyncio::await(asyncio::sleep(1s));
  }
}

static int compute(int x, int y) {
  log("compute", x, "+", y);
  asyncio::await(asyncio::sleep(1s));
  return x + y;
}

static void print_sum(int x, int y) {
  const int r = compute(x, y);
  log(x, "+", y, "=", r);
}

static void slow(asyncio::Future<std::string> f) {
  asyncio::await(asyncio::sleep(1s));
  f.set_result("Future is done!");
}

static void factorial(std::string name, int n) {
  int f = 1;
  for (int i = 2; i <= n; ++i) {
    log("Task " + name + ": compute factorial(" + py(i) + ")");
    asyncio::await(asyncio::sleep(1s));
    f *= i;
  }
  log("Task " + name + ": factorial(" + py(n) + ") = " + py(f));
}

static void later() {
  const auto something = []() -> std::string {
    asyncio::await(asyncio::sleep(1s));
    return "something done";
  };
  auto t = asyncio::ensure_future(something);
  const auto ignoring = [&t]() -> std::optional<std::string> {
    try {
      return asyncio::await(asyncio::shield(t));
    } catch (const asyncio::CancelledError&) {
      return std::nullopt;
    }
  };
  auto o = asyncio::ensure_future(ignoring);
  asyncio::await(asyncio::sleep(.1s));
  o.cancel();
  const auto outer = asyncio::await(o);
  const auto inner = asyncio::await(t);
  log("shield + except:", outer, "|", inner);
  const auto five = []() -> std::string {
    asyncio::await(asyncio::sleep(5s));
    return "";
  };
  auto [done, pending] = asyncio::await(asyncio::wait(
      std::vector{asyncio::ensure_future(something), asyncio::ensure_future(five)}, {.timeout = 2s}));
  log(done.size(), pending.size());
  for (auto& p : pending) p.cancel();
  try {
    asyncio::await(asyncio::wait_for(asyncio::sleep(60s), 1s));
  } catch (const asyncio::TimeoutError&) {
    log("timeout!");
  }
}

SCENARIO(077_seed_examples) {
  tap_logger();
  auto& loop = new_loop();
  loop.run_until_complete(hello);
  loop.run_until_complete(asyncio::coroutine(clock)(5));
  loop.run_until_complete(asyncio::coroutine(print_sum)(1, 2));
  auto f = loop.create_future<std::string>();
  auto t = asyncio::ensure_future(asyncio::coroutine(slow)(f), &loop);
  const std::string result = loop.run_until_complete(f);
  log(result, "- the task itself is", st(t));
  loop.run_until_complete(t);
  f = loop.create_future<std::string>();
  t = asyncio::ensure_future(asyncio::coroutine(slow)(f), &loop);
  f.add_done_callback([&loop, tag = "Future:"](const asyncio::Future<std::string>& fut) {
    log(tag, fut.result());
    loop.stop();
  });
  loop.run_forever();
  loop.run_until_complete(t);
  std::vector<asyncio::Task<>> factorials;
  for (const auto& [n, k] : {std::pair("A", 2), std::pair("B", 3), std::pair("C", 4)}) {
    factorials.push_back(asyncio::ensure_future(asyncio::coroutine(factorial)(n, k), &loop));
  }
  loop.run_until_complete(asyncio::gather(factorials));
  loop.run_until_complete(later);
  loop.close();
}

}  // namespace conf::s077
