// SPDX-License-Identifier: Apache-2.0
//
// TaskGroup: waits for all; children that add children; cancelled child is not an error.
// The twin of python/053_taskgroup_ok.py.
//
// Construction enters a group, and the group is gone when its body and its children have ended. So Python's
// misuse before and after cannot be written.
#include "../conf.h"

namespace conf::s053 {

static std::string val(std::string n, asyncio::Duration d, asyncio::TaskGroup* tg) {
  asyncio::await(asyncio::sleep(d));
  log("end", n);
  if (tg != nullptr) tg->create_task({.name = "sub"}, val, n + ".sub", .1s, nullptr).detach();
  return n;
}

SCENARIO(053_taskgroup_ok) {
  run([] {
    asyncio::Task<std::string> a, b, c, d;
    asyncio::await(asyncio::task_group([&](asyncio::TaskGroup& tg) {
      log(tg);
      a = tg.create_task({.name = "A"}, val, "a", .2s, nullptr);
      b = tg.create_task(val, "b", .1s, &tg);
      log(tg, a.get_name());
    }));
    log("exit", st(a), st(b));
    asyncio::await(asyncio::task_group([&](asyncio::TaskGroup& tg) {
      c = tg.create_task(val, "c", 5s, nullptr);
      d = tg.create_task(val, "d", .1s, nullptr);
      asyncio::await(asyncio::sleep(0s));
      c.cancel();
    }));
    log("a cancelled child is ignored:", st(c), st(d));
    asyncio::await(asyncio::task_group([](asyncio::TaskGroup&) { log("empty group"); }));
    asyncio::get_running_loop().call_soon(log,
                                          "an exit without children does not yield, so this comes later");
    asyncio::await(asyncio::task_group([](asyncio::TaskGroup&) {}));
    log("left the empty group");
    asyncio::await(asyncio::sleep(0s));
  });
}

}  // namespace conf::s053
