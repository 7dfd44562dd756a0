// SPDX-License-Identifier: Apache-2.0
//
// Done-callbacks: always via the loop, in order, duplicates kept, removal counts.
// The twin of python/011_future_callbacks.py.
//
// Python removes all registrations of a function at once. Here each registration has an id, so the twin
// removes the ids of one function and adds the numbers up.
#include "../conf.h"

#include <map>

namespace conf::s011 {

SCENARIO(011_future_callbacks) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    auto f = loop.create_future<int>();
    const auto cb = [&f](std::string tag) {
      return [&f, tag](const asyncio::Future<int>& fut) { log("cb", tag, fut == f, st(fut)); };
    };
    std::map<std::string, std::vector<asyncio::CallbackId>> ids;
    const auto add = [&](const std::string& tag) { ids[tag].push_back(f.add_done_callback(cb(tag))); };
    const auto remove = [&](const std::string& tag) {
      std::size_t removed = 0;
      for (const auto id : ids[tag]) removed += f.remove_done_callback(id);
      return removed;
    };
    for (const char* tag : {"a", "b", "a", "c", "a"}) add(tag);
    const auto first = remove("a");
    const auto second = remove("a");
    log("removed", first, second);
    add("a");
    const auto adder = [&cb](asyncio::Future<int> fut) {
      log("adder: adds to a done future");
      fut.add_done_callback(cb("added by adder"));
    };
    f.add_done_callback(adder);
    add("b");
    f.set_result(42);
    log("set_result returned; nothing has run yet");
    log("removed after done", remove("b"));
    f.add_done_callback(cb("added after set_result"));
    asyncio::await(asyncio::sleep(0s));
    log("one pass later");
    asyncio::await(asyncio::sleep(0s));
    log("two passes later");
    auto g = loop.create_future<int>();
    g.add_done_callback([](const asyncio::Future<int>& fut) { log("cancel cb", st(fut)); });
    g.cancel();
    log("cancel returned");
    asyncio::await(asyncio::sleep(0s));
  });
}

}  // namespace conf::s011
