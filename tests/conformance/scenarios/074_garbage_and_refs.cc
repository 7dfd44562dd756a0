// SPDX-License-Identifier: Apache-2.0
//
// The loop keeps its tasks alive, also a task that waits for a future without other references.
// The twin of python/074_garbage_and_refs.py.
//
// all_tasks() replaces Python's weak reference here: it shows which tasks still exist.
#include "../conf.h"

namespace conf::s074 {

static void hang() {
  const auto wait = [] { asyncio::await(asyncio::get_running_loop().create_future<>()); };
  try_finally(wait, [] { log("finally block on destruction"); });
}

static void timed() {
  asyncio::await(asyncio::sleep(.2s));
  log("a sleeping task is kept by its timer");
}

static bool is_alive(const char* name) {
  const auto alive = names(asyncio::all_tasks());
  return std::find(alive.begin(), alive.end(), name) != alive.end();
}

SCENARIO(074_garbage_and_refs) {
  run([] {
    auto t = asyncio::create_task({.name = "H"}, hang);
    asyncio::await(asyncio::sleep(0s));
    std::vector<bool> is_h;
    for (const auto& x : asyncio::all_tasks()) is_h.push_back(x.get_name() == "H");
    std::sort(is_h.begin(), is_h.end());
    log("all_tasks", is_h);
    t = {};
    log("gone", !is_alive("H"), asyncio::all_tasks().size());
    t = asyncio::create_task({.name = "timed"}, timed);
    t = {};
    asyncio::await(asyncio::sleep(.1s));
    log("alive", is_alive("timed"));
    asyncio::await(asyncio::sleep(.2s));
    log("alive", is_alive("timed"));
  });
}

}  // namespace conf::s074
