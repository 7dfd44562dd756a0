// SPDX-License-Identifier: Apache-2.0
//
// Barrier: filling, draining, index values, reuse, cancel of one party, reset, abort.
// The twin of python/064_barrier.py.
#include "../conf.h"

namespace conf::s064 {

static std::size_t w(const std::string& n, asyncio::Barrier& b) {
  try {
    const std::size_t i = asyncio::await(b.wait());
    log(n, "index", i, b.n_waiting(), lock_state(b));
    return i;
  } catch (const asyncio::BrokenBarrierError&) {
    log(n, exc());
    throw;
  } catch (const asyncio::CancelledError&) {
    log(n, "cancelled", b.n_waiting());
    throw;
  }
}

SCENARIO(064_barrier) {
  run([] {
    asyncio::Barrier b(3);
    const auto party = [&b](const char* n) { return asyncio::create_task(w, std::string(n), std::ref(b)); };
    log(lock_state(b), b.parties(), b.n_waiting(), b.broken());
    std::vector ts{party("a"), party("b")};
    asyncio::await(asyncio::sleep(0s));
    log(lock_state(b), b.n_waiting());
    ts.push_back(party("c"));
    asyncio::await(asyncio::sleep(0s));
    log(lock_state(b));
    asyncio::await(asyncio::wait(ts));
    log(lock_state(b));
    ts = {party("d"), party("e")};
    asyncio::await(asyncio::sleep(0s));
    ts[0].cancel();
    ticks(2);
    log(lock_state(b));
    ts.push_back(party("f"));
    ts.push_back(party("g"));
    asyncio::await(asyncio::wait(ts));
    log(lock_state(b));
    ts = {party("h"), party("i")};
    asyncio::await(asyncio::sleep(0s));
    asyncio::await(b.reset());
    log(lock_state(b));
    asyncio::await(asyncio::wait(ts));
    log(lock_state(b));
    ts = {party("j"), party("k")};
    asyncio::await(asyncio::sleep(0s));
    asyncio::await(b.abort());
    log(lock_state(b), b.broken());
    asyncio::await(asyncio::wait(ts));
    auto t = party("l");
    asyncio::await(asyncio::wait(list_of(t)));
    asyncio::await(b.reset());
    log("reset mends it", lock_state(b), b.broken());
    asyncio::Barrier one(1);
    const std::size_t first = asyncio::await(one.wait());
    const std::size_t second = asyncio::await(one.wait());
    log("single party", first, second);
    for (const int n : {0, -4}) attempt("parties", [n] { asyncio::Barrier impossible(n); });
    log("as", asyncio::await(one.wait()));       // `async with one as i`
    for (const auto& task : ts) (void)st(task);  // their exceptions count as read
    (void)t.exception();
  });
}

}  // namespace conf::s064
