// SPDX-License-Identifier: Apache-2.0
//
// current_task / all_tasks inside tasks, inside callbacks, outside the loop.
// The twin of python/029_current_all_tasks.py.
#include "../conf.h"

namespace conf::s029 {

// all_tasks() is a set in Python.
static Verbatim as_set(const std::vector<asyncio::AnyTask>& tasks) {
  return {tasks.empty() ? "set()" : py(names(tasks))};
}

static std::string my_name() { return std::string(asyncio::current_task()->get_name()); }

SCENARIO(029_current_all_tasks) {
  tap_logger();
  auto& loop = new_loop();
  attempt("current_task()", [] { return asyncio::current_task(); });
  attempt("current_task(loop)", [&] { return asyncio::current_task(&loop); });
  attempt("all_tasks()", [] { return as_set(asyncio::all_tasks()); });
  attempt("all_tasks(loop)", [&] { return as_set(asyncio::all_tasks(&loop)); });
  const auto child = [](asyncio::Future<int> f) {
    log("child sees", my_name(), names(asyncio::all_tasks()));
    asyncio::await(f);
    log("child again", my_name());
  };
  const auto main = [&] {
    auto f = loop.create_future<int>();
    auto t = loop.create_task({.name = "child"}, child, f);
    log("main sees", my_name(), names(asyncio::all_tasks()));
    loop.call_soon([] { log("callback sees", asyncio::current_task()); });
    asyncio::await(asyncio::sleep(0s));
    log("main still", my_name());
    f.add_done_callback(
        [](const asyncio::Future<int>&) { log("done-callback sees", asyncio::current_task()); });
    f.set_result(1);
    asyncio::await(t);
    log("finished tasks are gone", names(asyncio::all_tasks()));
    const auto nested = [] { return my_name(); };
    log("plain await keeps the task", asyncio::await(nested));
  };
  auto m = loop.create_task({.name = "main"}, main);
  loop.run_until_complete(m);
  log("after", asyncio::current_task(&loop), names(asyncio::all_tasks(&loop)));
  loop.close();
}

}  // namespace conf::s029
