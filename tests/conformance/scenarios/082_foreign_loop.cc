// SPDX-License-Identifier: Apache-2.0
//
// Objects that belong to another loop, in every combinator; locks bind on first contention.
// The twin of python/082_foreign_loop.py.
//
// A lock does not show whether it is bound. The test uses a lock in another loop first: this shows that
// uncontended use does not bind it. Afterwards a wait in another loop fails: this shows that contention binds
// it.
#include "../conf.h"

namespace conf::s082 {

// Begin and end of an error's message: between them are reprs of tasks and futures.
template <class Fn>
static void try_(const char* label, Fn fn) {
  try {
    fn();
    log(label, "ok");
  } catch (...) {
    const std::string text = scrub(exc_message(std::current_exception()));
    std::string head = text.substr(0, text.find(" got ")).substr(0, 40);
    head = head.substr(0, head.find(" <"));
    log(label, exc_name(std::current_exception()), head, "...",
        text.substr(text.size() > 40 ? text.size() - 40 : 0));
  }
}

static void combinators(asyncio::Lock& lk) {
  auto& loop = asyncio::get_running_loop();
  TestLoop other;
  auto f = other.create_future<int>();
  auto mine = loop.create_future<int>();
  mine.set_result(0);
  try_("await", [&] { asyncio::await(f); });
  try_("gather", [&] { asyncio::await(asyncio::gather(mine, f)); });
  try_("wait_for", [&] { asyncio::await(asyncio::wait_for(f, 1s)); });
  try_("shield", [&] { asyncio::await(asyncio::shield(f)); });
  try_("as_completed", [&] { asyncio::await(*asyncio::as_completed(list_of(f)).begin()); });
  try_("wait", [&] { asyncio::await(asyncio::wait(list_of(f), {.timeout = .1s})); });
  asyncio::await(asyncio::sleep(.1s));  // as long as Python's wait()
  asyncio::await(lk.acquire());
  log("uncontended use does not bind", lk.locked());
  auto t = asyncio::create_task(lk.acquire());
  asyncio::await(asyncio::sleep(0s));
  log("contention binds", !t.done());
  lk.release();
  asyncio::await(t);
  f.cancel();
  other.close();
}

SCENARIO(082_foreign_loop) {
  asyncio::Lock lk;
  {
    TestLoop earlier;
    earlier.run_until_complete([&lk] { const std::unique_lock guard(lk); });
  }
  run([&lk] { combinators(lk); });
  run([&lk] {
    try {
      asyncio::await(lk.acquire());
    } catch (const asyncio::RuntimeError& e) {
      log("lock in another loop:", scrub(e.what()));
    }
  });
}

}  // namespace conf::s082
