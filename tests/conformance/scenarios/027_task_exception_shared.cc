// SPDX-License-Identifier: Apache-2.0
//
// A failed task gives every awaiter the same exception object.
// The twin of python/027_task_exception_shared.py.
#include "../conf.h"

namespace conf::s027 {

using Seen = std::vector<std::exception_ptr>;

static void bad() {
  asyncio::await(asyncio::sleep(0s));
  throw ValueError("v");
}

static void w(const char* n, asyncio::Task<> t, Seen& seen) {
  try {
    asyncio::await(t);
  } catch (const ValueError&) {
    log(n, exc());
    seen.push_back(std::current_exception());
  }
}

SCENARIO(027_task_exception_shared) {
  run([] {
    auto t = asyncio::create_task(bad);
    Seen seen;
    std::vector<asyncio::Task<>> ws;
    for (const char* n : {"a", "b", "c"}) ws.push_back(asyncio::create_task(w, n, t, std::ref(seen)));
    asyncio::await(asyncio::wait(ws));
    bool all = true;
    for (const auto& e : seen) all = all && e == seen[0];
    log("same object", all, t.exception() == seen[0]);
    // Python goes on with StopIteration, which C++ does not have; the error keeps the passes the same.
    t = asyncio::create_task([] { throw asyncio::RuntimeError("coroutine raised StopIteration"); });
    asyncio::await(asyncio::wait(list_of(t)));
    (void)t.exception();
  });
}

}  // namespace conf::s027
