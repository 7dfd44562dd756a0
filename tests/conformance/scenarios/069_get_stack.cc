// SPDX-License-Identifier: Apache-2.0
//
// get_stack: frames per state and the two meanings of limit (function names, oldest first).
// The twin of python/069_get_stack.py.
//
// A fiber's stack also has the frames below the task's function. The functions are global and not inlined, so
// that they have frames with plain names. Their last statements keep their calls from becoming tail calls.
#include "../conf.h"

using namespace std::chrono_literals;

#define FRAME __attribute__((noinline)) static

static volatile int after_the_call = 0;

FRAME void inner(asyncio::Future<int> f) {
  asyncio::await(f);
  after_the_call = 1;
}
FRAME void middle(asyncio::Future<int> f) {
  inner(f);
  after_the_call = 2;
}
FRAME void outer(asyncio::Future<int> f) {
  middle(f);
  after_the_call = 3;
}
FRAME void deep3() { throw conf::ValueError("deep"); }
FRAME void deep2() {
  deep3();
  after_the_call = 4;
}
FRAME void fails() {
  asyncio::await(asyncio::sleep(0s));
  deep2();
  after_the_call = 5;
}

namespace conf {

static std::vector<std::string> functions(const std::vector<asyncio::Frame>& frames) {
  std::vector<std::string> found;
  for (const asyncio::Frame& frame : frames) found.push_back(frame.function);
  return found;
}

static std::vector<std::string> functions(const asyncio::Task<>& t) { return functions(t.get_stack()); }

// Python's limit -1 keeps nothing, as 0 does.
static std::vector<std::vector<std::string>> limited(const asyncio::Task<>& t,
                                                     std::initializer_list<std::size_t> limits) {
  std::vector<std::vector<std::string>> found;
  for (const std::size_t limit : limits) found.push_back(functions(t.get_stack(limit)));
  return found;
}

}  // namespace conf

// Asks by itself, so that its frame is the newest one.
FRAME void looks(std::string& box) {
  const auto me = *asyncio::current_task();
  const auto newest = conf::functions(me.get_stack(1));
  const auto nothing = conf::functions(me.get_stack(0));
  const auto all = conf::functions(me.get_stack());
  box = conf::py(std::tuple(newest, nothing, all.empty() ? "" : all.back(), !all.empty()));
  after_the_call = 6;
}

namespace conf {

SCENARIO(069_get_stack) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    auto f = loop.create_future<int>();
    auto t = asyncio::create_task(outer, f);
    log("not started", functions(t));
    asyncio::await(asyncio::sleep(0s));
    log("suspended", functions(t), limited(t, {1, 2, 0, 0}));
    f.set_result(1);
    asyncio::await(t);
    log("finished", functions(t));
    t = asyncio::create_task(fails);
    asyncio::await(asyncio::wait(list_of(t)));
    log("failed", functions(t), limited(t, {1, 2, 5, 0, 0}));
    t = asyncio::create_task(outer, loop.create_future<int>());
    asyncio::await(asyncio::sleep(0s));
    t.cancel();
    log("cancelling", functions(t));
    asyncio::await(asyncio::wait(list_of(t)));
    log("cancelled", functions(t));
    std::string box;
    asyncio::await(asyncio::create_task(looks, std::ref(box)));
    log("running task looks at itself: limit 1, limit 0, newest of all, also the loop's own frames:", box);
  });
}

}  // namespace conf
