// SPDX-License-Identifier: Apache-2.0
//
// KeyboardInterrupt / SystemExit leave run_forever at once; the rest of the pass is kept.
// The twin of python/009_base_exceptions.py.
#include "../conf.h"

namespace conf::s009 {

SCENARIO(009_base_exceptions) {
  tap_logger();
  auto& loop = new_loop();
  loop.set_exception_handler(&trace_handler);
  const auto run_forever = [&loop] { loop.run_forever(); };
  const auto stop = [&loop] { loop.stop(); };
  loop.call_soon(log, "before");
  loop.call_soon([] { throw asyncio::KeyboardInterrupt("ki"); });
  loop.call_soon(log, "after (kept for the next run)");
  attempt("run 1", run_forever);
  log("running", loop.is_running());
  loop.call_soon(stop);
  attempt("run 2", run_forever);
  const auto t_exit = [] {
    log("task body");
    throw asyncio::SystemExit(5);
  };
  auto t = loop.create_task({.name = "T"}, t_exit);
  loop.call_soon(log, "after the task step");
  attempt("run 3", run_forever);
  log("task", st(t));
  loop.call_soon(stop);
  attempt("run 4", run_forever);
  const auto t_ki = [] { throw asyncio::KeyboardInterrupt("in coro"); };
  attempt("run_until_complete", [&] { return loop.run_until_complete(t_ki); });
  loop.call_soon(stop);
  attempt("run 5", run_forever);
  loop.close();
}

}  // namespace conf::s009
