// SPDX-License-Identifier: Apache-2.0
//
// Errors of the loop's own methods: closed, running, nested.
// The twin of python/005_loop_errors.py.
#include "../conf.h"

namespace conf::s005 {

SCENARIO(005_loop_errors) {
  tap_logger();
  auto& loop = new_loop();
  TestLoop other;
  const auto noop = asyncio::coroutine([] { return 1; });
  const auto main = [&] {
    attempt("close while running", [&] { loop.close(); });
    attempt("run_forever nested", [&] { loop.run_forever(); });
    auto c = noop();
    attempt("run_until_complete nested", [&] { return loop.run_until_complete(std::move(c)); });
    c.close();
    attempt("run other loop inside", [&] { other.run_forever(); });
    c = noop();
    attempt("asyncio.run inside", [&] { return asyncio::run(std::move(c)); });
    c.close();
  };
  loop.run_until_complete(main);
  auto f = other.create_future<int>();
  attempt("run_until_complete future of other loop", [&] { return loop.run_until_complete(f); });
  loop.close();
  attempt("close again", [&] { loop.close(); });
  attempt("closed: call_soon", [&] { (void)loop.call_soon(log); });
  attempt("closed: call_soon_threadsafe", [&] { (void)loop.call_soon_threadsafe(log); });
  attempt("closed: call_later", [&] { (void)loop.call_later(1s, log); });
  attempt("closed: call_at", [&] { (void)loop.call_at(asyncio::TimePoint(1s), log); });
  attempt("closed: run_in_executor", [&] { (void)loop.run_in_executor(nullptr, log); });
  attempt("closed: run_forever", [&] { loop.run_forever(); });
  auto c = noop();
  attempt("closed: create_task", [&] { (void)loop.create_task(std::move(c)); });
  c.close();
  c = noop();
  attempt("closed: run_until_complete", [&] { return loop.run_until_complete(std::move(c)); });
  c.close();
  attempt("closed: create_future", [&] { return st(loop.create_future<int>()); });
  f = loop.create_future<int>();
  attempt("closed: set_result without callbacks", [&] { f.set_result(1); });
  f = loop.create_future<int>();
  f.add_done_callback(log);
  attempt("closed: set_result with callbacks", [&] { f.set_result(1); });
  log("state afterwards", st(f));
  attempt("closed: add_done_callback on done future", [&] { f.add_done_callback(log); });
  other.close();
}

}  // namespace conf::s005
