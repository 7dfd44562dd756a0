// SPDX-License-Identifier: Apache-2.0
//
// create_task never runs the body at once; tasks start in creation order, one pass later.
// The twin of python/015_task_start_order.py.
#include "../conf.h"

namespace conf::s015 {

static std::string child(std::string n) {
  log("start", n);
  return n;
}

static int numbered_child(int n) {
  log("start", n);
  if (n == 1) {
    asyncio::create_task({.name = "1.1"}, child, "1.1").detach();
    log("created 1.1");
  }
  return n;
}

SCENARIO(015_task_start_order) {
  run([] {
    log("main start");
    std::vector<asyncio::Task<int>> ts;
    for (int i = 0; i < 3; ++i) {
      ts.push_back(asyncio::create_task({.name = "c" + std::to_string(i)}, numbered_child, i));
    }
    std::vector<bool> done;
    for (const auto& t : ts) done.push_back(t.done());
    log("created", done);
    const std::string r = child("direct");  // a plain call runs it now, in this task
    log("direct", r);
    asyncio::await(asyncio::sleep(0s));
    std::vector<std::string> states;
    for (const auto& t : ts) states.push_back(st(t));
    log("after one pass", states);
    asyncio::await(asyncio::sleep(0s));
    log("after two passes");
  });
}

}  // namespace conf::s015
