// SPDX-License-Identifier: Apache-2.0
//
// wait: ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION; (done, pending); never raises results.
// The twin of python/037_wait_modes.py.
#include "../conf.h"

namespace conf::s037 {

using Tasks = std::vector<asyncio::Task<int>>;

static int val(int n, asyncio::Duration d) {
  asyncio::await(asyncio::sleep(d));
  return n;
}

static int bad(const char* n, asyncio::Duration d) {
  asyncio::await(asyncio::sleep(d));
  throw ValueError(n);
}

template <class WaitResult>
static void show(const char* label, const WaitResult& dp) {
  log(label, "done", names(dp.done), "pending", names(dp.pending));
}

static Tasks mk() {
  Tasks ts;
  ts.push_back(asyncio::create_task({.name = "v1"}, val, 1, .1s));
  ts.push_back(asyncio::create_task({.name = "v2"}, val, 2, .3s));
  ts.push_back(asyncio::create_task({.name = "b"}, bad, "b", .2s));
  return ts;
}

SCENARIO(037_wait_modes) {
  run([] {
    const std::pair<const char*, asyncio::ReturnWhen> modes[] = {
        {"ALL_COMPLETED", asyncio::ALL_COMPLETED},
        {"FIRST_COMPLETED", asyncio::FIRST_COMPLETED},
        {"FIRST_EXCEPTION", asyncio::FIRST_EXCEPTION},
    };
    for (const auto& [name, return_when] : modes) {
      const auto mode = return_when;  // clang 14 captures no structured binding
      auto ts = mk();
      show(name, asyncio::await(asyncio::wait(ts, {.return_when = mode})));
      show("rest", asyncio::await(asyncio::wait(ts)));
      for (const auto& t : ts) (void)t.exception();
    }
    auto ts = mk();
    asyncio::await(asyncio::sleep(.15s));
    show("already done + FIRST_COMPLETED",
         asyncio::await(asyncio::wait(ts, {.return_when = asyncio::FIRST_COMPLETED})));
    ts[1].cancel();
    show("a cancelled one does not trigger FIRST_EXCEPTION",
         asyncio::await(asyncio::wait(list_of(ts[0], ts[1]), {.return_when = asyncio::FIRST_EXCEPTION})));
    show("rest", asyncio::await(asyncio::wait(ts)));
    (void)ts[2].exception();
    auto f = asyncio::get_running_loop().create_future<int>();
    f.set_result(0);
    asyncio::get_running_loop().call_soon(log, "wait on done futures still takes a pass");
    const auto [d, p] = asyncio::await(asyncio::wait(list_of(f)));
    log(d.size(), p.size());
    auto a = asyncio::create_task({.name = "a"}, val, 1, 0s);
    auto b = asyncio::create_task({.name = "b"}, val, 2, 0s);
    show("two in the same pass, FIRST_COMPLETED",
         asyncio::await(asyncio::wait(list_of(a, b), {.return_when = asyncio::FIRST_COMPLETED})));
  });
}

}  // namespace conf::s037
