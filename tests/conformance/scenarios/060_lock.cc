// SPDX-License-Identifier: Apache-2.0
//
// Lock: FIFO hand-over, no barging, release rules, repr, guards, cancelled waiters.
// The twin of python/060_lock.py.
//
// `async with lock` is a std::unique_lock.
#include "../conf.h"

namespace conf::s060 {

static void user(const std::string& n, asyncio::Lock& lock, asyncio::Duration hold) {
  log(n, "wants");
  try {
    const std::unique_lock guard(lock);
    log(n, "has");
    asyncio::await(asyncio::sleep(hold));
  } catch (const asyncio::CancelledError&) {
    log(n, "cancelled");
    throw;
  }
  log(n, "left");
}

static std::vector<asyncio::Task<>> users(std::string_view letters, asyncio::Lock& lock,
                                          asyncio::Duration hold = 0s) {
  std::vector<asyncio::Task<>> tasks;
  for (const char n : letters) {
    tasks.push_back(asyncio::create_task(user, std::string(1, n), std::ref(lock), hold));
  }
  return tasks;
}

SCENARIO(060_lock) {
  run([] {
    asyncio::Lock lock;
    log(lock_state(lock), lock.locked());
    const bool acquired = asyncio::await(lock.acquire());
    log("acquire returns", acquired, lock_state(lock));
    auto ts = users("abc", lock);
    asyncio::await(asyncio::sleep(0s));
    log(lock_state(lock));
    lock.release();
    log("released:", lock.locked(), "- the first waiter is only scheduled");
    ts.push_back(asyncio::create_task(user, std::string("late"), std::ref(lock), 0s));
    log("barging:");
    asyncio::await(lock.acquire());
    log("main got it after the queue");
    lock.release();
    asyncio::await(asyncio::wait(ts));
    log(lock_state(lock));
    attempt("release unlocked", [&] { lock.release(); });
    // cancel the waiter that was just woken: the next one must be woken instead
    asyncio::await(lock.acquire());
    ts = users("xyz", lock);
    asyncio::await(asyncio::sleep(0s));
    lock.release();
    ts[0].cancel();
    asyncio::await(asyncio::wait(ts));
    log(lock_state(lock));
    // cancel a waiter in the middle, then release in the same pass
    asyncio::await(lock.acquire());
    ts = users("pq", lock);
    asyncio::await(asyncio::sleep(0s));
    ts[0].cancel();
    lock.release();
    asyncio::await(asyncio::wait(ts));
    log(lock_state(lock));
    ts = users("mn", lock, .1s);
    asyncio::await(asyncio::wait(ts));
    log("uncontended acquire does not yield:");
    asyncio::get_running_loop().call_soon(log, "callback");
    asyncio::await(lock.acquire());
    log("acquired");
    lock.release();
    asyncio::await(asyncio::sleep(0s));
  });
}

}  // namespace conf::s060
