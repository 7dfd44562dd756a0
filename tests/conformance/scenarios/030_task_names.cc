// SPDX-License-Identifier: Apache-2.0
//
// Default names Task-N, explicit names, renaming.
// The twin of python/030_task_names.py.
#include "../conf.h"

namespace conf::s030 {

static void noop() {}

template <class Task>
static int number_of(const Task& task) {
  const std::string name(task.get_name());
  return std::stoi(name.substr(name.find('-') + 1));
}

SCENARIO(030_task_names) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    const int base = number_of(*asyncio::current_task());
    const auto rel = [base](const auto& t) { return "Task-base+" + std::to_string(number_of(t) - base); };
    auto a = asyncio::create_task(noop);
    auto b = asyncio::create_task(noop);
    log(rel(a), rel(b));
    auto c = loop.create_task({.name = "explicit"}, noop);
    auto d = asyncio::create_task(noop);
    log(c.get_name(), "does not use a number:", rel(d));
    auto e = asyncio::create_task({.name = "via create_task"}, noop);
    auto f = asyncio::create_task(noop);
    log(e.get_name(), "uses a number in 3.11:", rel(f));
    auto g = asyncio::ensure_future(noop);
    log(rel(g));
    asyncio::await(asyncio::wait(list_of(a, b, c, d, e, f, g)));
    a.set_name("renamed after done");
    log(a.get_name());
  });
}

}  // namespace conf::s030
