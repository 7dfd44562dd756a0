// SPDX-License-Identifier: Apache-2.0
//
// Debug mode: slow callbacks, wrong thread, created-at.
// The twin of python/068_debug_mode.py.
#include "../conf.h"

#include <thread>

using namespace std::chrono_literals;

// Global: their names are a part of reports.
static void slow() { conf::current_loop().burn(200ms); }
static void fast() { conf::current_loop().burn(50ms); }
static void slow_task() { conf::current_loop().burn(300ms); }
static void bad() { throw conf::ValueError("x"); }

namespace conf::s068 {

static void misuse_from_thread(asyncio::EventLoop& loop, std::vector<std::string>& out) {
  const auto note = [&out](const auto& call, const char* fine) {
    try {
      call();
      out.emplace_back(fine);
    } catch (const asyncio::RuntimeError& e) {
      out.emplace_back(e.what());
    }
  };
  note([&] { loop.call_soon([] {}); }, "no error");
  note([&] { loop.call_later(1s, [] {}); }, "no error");
  note([&] { loop.call_soon_threadsafe(log, "threadsafe call is fine"); }, "ok");
}

SCENARIO(068_debug_mode) {
  const auto main = [] {
    auto& loop = asyncio::get_running_loop();
    const double threshold = static_cast<double>(loop.slow_callback_duration.nanoseconds()) / 1e9;
    log("debug", loop.get_debug(), "threshold", threshold);
    loop.call_soon(slow);
    asyncio::await(asyncio::sleep(0s));
    loop.call_soon(fast);
    asyncio::await(asyncio::sleep(0s));
    asyncio::await(asyncio::create_task({.name = "S"}, slow_task));
    std::vector<std::string> out;
    std::thread(misuse_from_thread, std::ref(loop), std::ref(out)).join();
    for (const std::string& line : out) log(line);
    asyncio::await(asyncio::sleep(0s));
    auto f = loop.create_future<>();
    log(scrub(repr(f)));
    f.cancel();
    loop.call_soon(bad);
    asyncio::await(asyncio::sleep(0s));
    loop.set_debug(false);
    log("off", loop.get_debug());
    loop.call_soon(slow);
    asyncio::await(asyncio::sleep(0s));
  };
  run(main, {.debug = true});
}

}  // namespace conf::s068
