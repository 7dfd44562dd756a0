// SPDX-License-Identifier: Apache-2.0
//
// Condition: notify(n) order, re-acquire, wait_for, cancel while waiting and while re-acquiring.
// The twin of python/062_condition.py.
#include "../conf.h"

namespace conf::s062 {

static void w(const std::string& n, asyncio::Condition& c) {
  try {
    const std::unique_lock guard(c);
    log(n, "waits");
    const bool value = asyncio::await(c.wait());
    log(n, "woken", value, "locked", c.locked());
  } catch (const asyncio::CancelledError&) {
    log(n, "cancelled, locked", c.locked());
    throw;
  }
  log(n, "out");
}

SCENARIO(062_condition) {
  run([] {
    asyncio::Condition c;
    const auto waiter = [&c](const char* n) { return asyncio::create_task(w, std::string(n), std::ref(c)); };
    const auto notify = [&c](std::size_t n) {
      const std::unique_lock guard(c);
      c.notify(n);
    };
    attempt("notify unlocked", [&] { c.notify(); });
    attempt("notify_all unlocked", [&] { c.notify_all(); });
    try {
      asyncio::await(c.wait());
    } catch (const asyncio::RuntimeError&) {
      log(exc());
    }
    std::vector ts{waiter("a"), waiter("b"), waiter("c"), waiter("d")};
    asyncio::await(asyncio::sleep(0s));
    log(lock_state(c));
    {
      const std::unique_lock guard(c);
      c.notify();
      log("notified one, still hold the lock");
      ticks(2);
    }
    ticks(3);
    notify(2);
    ticks(6);
    {
      const std::unique_lock guard(c);
      c.notify_all();
      c.notify(5);
    }
    asyncio::await(asyncio::wait(ts));
    // cancelled while waiting: re-acquires the lock before the error appears
    auto t = waiter("x");
    asyncio::await(asyncio::sleep(0s));
    asyncio::await(c.acquire());
    t.cancel();
    ticks(3);
    log("x must wait for the lock first:", st(t));
    c.release();
    asyncio::await(asyncio::wait(list_of(t)));
    log(st(t), c.locked());
    // cancelled while re-acquiring after a notify: the cancellation is kept
    t = waiter("y");
    asyncio::await(asyncio::sleep(0s));
    asyncio::await(c.acquire());
    c.notify();
    asyncio::await(asyncio::sleep(0s));
    t.cancel("msg");
    asyncio::await(asyncio::sleep(0s));
    c.release();
    asyncio::await(asyncio::wait(list_of(t)));
    attempt("y", [&] { t.result(); });
    std::vector<const char*> ok;
    const auto pred = [&] {
      const std::unique_lock guard(c);
      log("wait_for ->", asyncio::await(c.wait_for([&ok] { return ok.empty() ? nullptr : ok[0]; })));
    };
    t = asyncio::create_task(pred);
    asyncio::await(asyncio::sleep(0s));
    notify(1);
    ticks(4);
    log("predicate false: still waiting", st(t));
    ok.push_back("truthy");
    {
      const std::unique_lock guard(c);
      c.notify_all();
    }
    asyncio::await(asyncio::wait(list_of(t)));
    const auto truth = [] { return std::optional(std::vector{1}); };
    log("predicate already true needs no lock:", asyncio::await(c.wait_for(truth)));
    asyncio::Lock lk;
    asyncio::Condition c2(lk);
    const std::unique_lock guard(lk);
    log("shares the lock", c2.locked());
  });
}

}  // namespace conf::s062
