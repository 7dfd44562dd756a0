// SPDX-License-Identifier: Apache-2.0
//
// A task that awaits itself, a future of another loop, set_result on a task, a coroutine run twice.
// The twin of python/028_task_misuse.py.
#include "../conf.h"

namespace conf::s028 {

SCENARIO(028_task_misuse) {
  run([] {
    TestLoop other;
    asyncio::Task<> t;
    const auto self_await = [&t] { asyncio::await(t); };
    t = asyncio::create_task(self_await);
    asyncio::await(asyncio::wait(list_of(t)));
    const std::string message = exc_message(t.exception());
    log("self:", exc_name(t.exception()), message.substr(0, message.find(':')));
    auto f = other.create_future<>();
    const auto foreign = [&f] {
      try {
        asyncio::await(f);
      } catch (const asyncio::RuntimeError& e) {
        const std::string text = e.what();
        const std::string who = text.substr(0, text.find(" got "));
        log("foreign:", who.substr(0, who.find(' ')), "...", text.substr(text.rfind("> ") + 2));
        throw;
      }
    };
    t = asyncio::create_task(foreign);
    asyncio::await(asyncio::wait(list_of(t)));
    log(exc_name(t.exception()));
    const auto ok = asyncio::coroutine([] { return 1; });
    auto number = asyncio::create_task(ok());
    attempt("set_result", [&] { number.set_result(5); });
    attempt("set_exception", [&] { number.set_exception(ValueError()); });
    log(asyncio::await(number));
    auto c = ok();
    asyncio::await(c);
    try {
      asyncio::await(c);
    } catch (const asyncio::RuntimeError&) {
      log("reuse:", exc());
    }
    const auto slow = asyncio::coroutine([] { asyncio::await(asyncio::sleep(0s)); });
    auto shared = slow();
    t = asyncio::create_task([&shared] { asyncio::await(shared); });  // a task that is given it would own it
    asyncio::await(asyncio::sleep(0s));
    try {
      asyncio::await(shared);
    } catch (const asyncio::RuntimeError&) {
      log("two owners:", exc());
    }
    asyncio::await(t);
    other.close();
  });
}

}  // namespace conf::s028
