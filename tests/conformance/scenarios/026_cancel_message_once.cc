// SPDX-License-Identifier: Apache-2.0
//
// Message of a cancelled task: first reader gets the original error, later ones a bare one.
// The twin of python/026_cancel_message_once.py.
#include "../conf.h"

namespace conf::s026 {

static void body() { asyncio::await(asyncio::sleep(10s)); }

SCENARIO(026_cancel_message_once) {
  run([] {
    auto t = asyncio::create_task(body);
    asyncio::await(asyncio::sleep(0s));
    t.cancel("msg");
    asyncio::await(asyncio::wait(list_of(t)));
    attempt("1st result()", [&] { return t.result(); });
    attempt("2nd result()", [&] { return t.result(); });
    attempt("exception()", [&] { return t.exception(); });
    t = asyncio::create_task(body);
    t.cancel("before start");
    asyncio::await(asyncio::wait(list_of(t)));
    attempt("1st", [&] { return t.exception(); });
    attempt("2nd", [&] { return t.result(); });
    auto f = asyncio::get_running_loop().create_future<>();
    f.cancel("plain future");
    attempt("1st", [&] { return f.result(); });
    attempt("2nd", [&] { return f.result(); });
    asyncio::Task<> t2;
    const auto w = [&t2](const char* n) {
      try {
        asyncio::await(t2);
      } catch (const asyncio::CancelledError&) {
        log(n, exc());
      }
    };
    t2 = asyncio::create_task(body);
    auto ws = std::vector{asyncio::create_task(w, "a"), asyncio::create_task(w, "b")};
    asyncio::await(asyncio::sleep(0s));
    t2.cancel("two awaiters");
    asyncio::await(asyncio::wait(ws));
    auto t3 = asyncio::create_task(body);
    asyncio::await(asyncio::sleep(0s));
    t3.cancel("5");
    try {
      asyncio::await(t3);
    } catch (const asyncio::CancelledError&) {  // Python's line shows a message that is not a string
    }
  });
}

}  // namespace conf::s026
