// SPDX-License-Identifier: Apache-2.0
//
// Cancelling a gather: children get cancelled; when the gather itself ends, and with what.
// The twin of python/035_gather_cancel_outer.py.
#include "../conf.h"

namespace conf::s035 {

using Children = std::vector<asyncio::Task<std::string>>;

static std::string child(std::string n, asyncio::Duration d, std::string how) {
  try {
    asyncio::await(asyncio::sleep(10s));
  } catch (const asyncio::CancelledError&) {
    log(n, "got", exc());
    asyncio::await(asyncio::sleep(d));
    if (how == "value") {
      log(n, "returns a value");
      return n;
    }
    if (how == "error") {
      log(n, "raises");
      throw ValueError(n);
    }
    throw;
  }
  return "";
}

template <class Gather>
static void scenario(const char* title, std::vector<std::string> hows, Gather gather) {
  log("--", title);
  Children ts;
  for (std::size_t i = 0; i < hows.size(); ++i) {
    ts.push_back(asyncio::create_task(child, "c" + std::to_string(i), 100ms * (i + 1), hows[i]));
  }
  auto g = gather(ts);
  g.add_done_callback([](const auto& f) { log("gather done-callback; cancelled()", f.cancelled()); });
  asyncio::await(asyncio::sleep(.1s));
  const bool first = g.cancel("G");
  const bool again = g.cancel("G2");
  log("cancel ->", first, "again ->", again, "done", g.done());
  try {
    log("value", asyncio::await(g));
  } catch (...) {
    log("raised", exc());
  }
  std::vector<std::string> states;
  for (const auto& t : ts) states.push_back(st(t));
  log(states, "g.cancelled()", g.cancelled());
  asyncio::await(asyncio::sleep(.3s));
}

SCENARIO(035_gather_cancel_outer) {
  const auto plain = [](const Children& ts) { return asyncio::gather(ts); };
  const auto collecting = [](const Children& ts) { return asyncio::gather(asyncio::return_exceptions, ts); };
  run([&] {
    scenario("all propagate", {"raise", "raise"}, plain);
    scenario("first one swallows", {"value", "raise"}, plain);
    scenario("all swallow", {"value", "value"}, plain);
    scenario("all swallow, return_exceptions", {"value", "value"}, collecting);
    scenario("error, return_exceptions", {"error", "raise"}, collecting);
    scenario("error first", {"error", "raise"}, plain);
  });
}

}  // namespace conf::s035
