// SPDX-License-Identifier: Apache-2.0
//
// gather: results in argument order, empty call, done inputs, duplicates, mixed inputs.
// The twin of python/031_gather_results.py.
//
// Where Python gives one coroutine object twice, the twin gives one task twice: a Coroutine has one owner.
#include "../conf.h"

namespace conf::s031 {

static const auto val = asyncio::coroutine([](std::string n, asyncio::Duration d) {
  asyncio::await(asyncio::sleep(d));
  log("finish", n);
  return n;
});

static const auto number = asyncio::coroutine([](int n, asyncio::Duration d) {
  asyncio::await(asyncio::sleep(d));
  log("finish", n);
  return n;
});

SCENARIO(031_gather_results) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    log(as_list(asyncio::await(asyncio::gather(val("a", .3s), val("b", .1s), val("c", .2s)))));
    auto e = asyncio::gather(std::vector<asyncio::Task<std::string>>{});
    log("empty:", st(e), asyncio::await(e));
    auto f = loop.create_future<std::string>();
    f.set_result("F");
    auto done = asyncio::gather(f);
    log("done input: gather is", st(done));
    log(as_list(asyncio::await(done)));
    auto t = asyncio::create_task(val("t", 0s));
    auto c = asyncio::ensure_future(val("dup", 0s));
    log("duplicates", as_list(asyncio::await(asyncio::gather(t, c, t, c, f))));
    const auto aw = [] { return asyncio::await(val("aw", 0s)); };
    log("awaitable", as_list(asyncio::await(asyncio::gather(aw))));
    auto nested = asyncio::gather(asyncio::gather(number(1, 0s), number(2, 0s)), number(3, 0s));
    log("nested", as_list(asyncio::await(nested)));
    TestLoop other;
    auto x = other.create_future<std::string>();
    attempt("two loops", [&] { (void)asyncio::gather(f, x); });
    other.close();
    auto g = asyncio::gather(val("s", .1s));
    log("starts by itself, no await needed");
    asyncio::await(asyncio::sleep(.2s));
    log(st(g));
  });
}

}  // namespace conf::s031
