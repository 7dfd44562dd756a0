// SPDX-License-Identifier: Apache-2.0
//
// gather without return_exceptions: first failure ends the gather, the others keep running.
// The twin of python/032_gather_exception.py.
#include "../conf.h"

namespace conf::s032 {

static std::string val(std::string n, asyncio::Duration d) {
  try {
    asyncio::await(asyncio::sleep(d));
    log("finish", n);
    return n;
  } catch (const asyncio::CancelledError&) {
    log("cancelled", n);
    throw;
  }
}

static std::string bad(std::string n, asyncio::Duration d) {
  asyncio::await(asyncio::sleep(d));
  log("raise", n);
  throw ValueError(n);
}

SCENARIO(032_gather_exception) {
  run([] {
    auto a = asyncio::create_task(val, "a", .3s);
    auto b = asyncio::create_task(bad, "b", .1s);
    auto c = asyncio::create_task(bad, "c", .2s);
    auto g = asyncio::gather(a, b, c);
    try {
      asyncio::await(g);
    } catch (const ValueError&) {
      log("caught", exc(), st(a), st(c));
    }
    const bool accepted = g.cancel();
    log("cancel of the finished gather", accepted, "a is", st(a));
    asyncio::await(asyncio::sleep(.3s));
    log("a", st(a), "(c's exception counts as retrieved)");
    auto f1 = asyncio::get_running_loop().create_future<>();
    auto f2 = asyncio::get_running_loop().create_future<>();
    auto h = asyncio::gather(f1, f2);
    f2.set_exception(KeyError("second"));
    f1.set_exception(KeyError("first in list"));
    try {
      asyncio::await(h);
    } catch (const KeyError&) {
      log("order of completion decides:", exc());
    }
    asyncio::await(asyncio::sleep(0s));
    a = b = c = {};
    g = {};
    h = {};
    f1 = f2 = {};
  });
}

}  // namespace conf::s032
