// SPDX-License-Identifier: Apache-2.0
//
// stop(): finishes the current pass; stop before run_forever runs one pass.
// The twin of python/004_stop.py.
#include "../conf.h"

namespace conf::s004 {

SCENARIO(004_stop) {
  tap_logger();
  auto& loop = new_loop();
  const auto cb = [&loop] {
    log("cb");
    loop.stop();
    loop.call_soon(log, "scheduled after stop");
  };
  loop.call_soon(cb);
  loop.call_soon(log, "same pass as stop");
  loop.call_later(0s, log, "timer already due");
  log("run 1");
  loop.run_forever();
  log("between; running =", loop.is_running());
  loop.stop();
  log("run 2 (stopped in advance)");
  loop.run_forever();
  loop.call_soon([&loop] {
    loop.stop();
    loop.stop();
    log("two stops");
  });
  log("run 3");
  loop.run_forever();
  loop.call_soon(log, "x");
  loop.call_soon([&loop] { loop.stop(); });
  log("run 4");
  loop.run_forever();
  loop.close();
  log("closed", loop.is_closed());
}

}  // namespace conf::s004
