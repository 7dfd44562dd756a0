// SPDX-License-Identifier: Apache-2.0
//
// get_running_loop / get_event_loop / set_event_loop; a fresh thread has no loop.
// The twin of python/087_event_loop_access.py.
#include "../conf.h"

#include <pthread.h>

#include <thread>

namespace conf::s087 {

static void look_in_thread(std::vector<std::string>& out) {
  ::pthread_setname_np(::pthread_self(), "T-x");
  for (asyncio::EventLoop& (*fn)() : {&asyncio::get_running_loop, &asyncio::get_event_loop}) {
    try {
      (void)fn();
      out.emplace_back("ok");
    } catch (const asyncio::RuntimeError& e) {
      out.emplace_back(e.what());
    }
  }
}

SCENARIO(087_event_loop_access) {
  attempt("get_running_loop", [] { return repr(asyncio::get_running_loop()); });
  run([] {
    auto& loop = asyncio::get_running_loop();
    log(&asyncio::get_event_loop() == &loop);
    loop.call_soon([&loop] {
      log("in a callback", &asyncio::get_running_loop() == &loop, &asyncio::get_event_loop() == &loop);
    });
    asyncio::await(asyncio::sleep(0s));
    TestLoop other;
    asyncio::set_event_loop(&other);
    log("set_event_loop does not change the running one", &asyncio::get_event_loop() == &loop);
    asyncio::set_event_loop(nullptr);
    other.close();
    std::vector<std::string> out;
    std::thread(look_in_thread, std::ref(out)).join();
    for (const std::string& line : out) log(line);
  });
  auto& loop = new_loop();
  asyncio::set_event_loop(&loop);
  log("outside, set:", &asyncio::get_event_loop() == &loop);
  asyncio::set_event_loop(nullptr);
  attempt("outside, set to None", [] { return repr(asyncio::get_event_loop()); });
  loop.close();
}

}  // namespace conf::s087
