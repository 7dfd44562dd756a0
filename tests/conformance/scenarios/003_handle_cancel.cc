// SPDX-License-Identifier: Apache-2.0
//
// Cancelling handles: before, during the same pass, twice, after running.
// The twin of python/003_handle_cancel.py.
#include "../conf.h"

#include <optional>

namespace conf::s003 {

SCENARIO(003_handle_cancel) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    std::optional<asyncio::Handle> victim;
    std::optional<asyncio::TimerHandle> timer;
    const auto killer = [&] {
      log("killer");
      victim->cancel();
      timer->cancel();
    };
    loop.call_soon(killer);
    victim = loop.call_soon(log, "victim ran (wrong)");
    timer = loop.call_later(0s, log, "timer ran (wrong)");
    auto ok = loop.call_soon(log, "ok ran");
    log("cancelled()", victim->cancelled(), ok.cancelled());
    asyncio::await(asyncio::sleep(.01s));
    log("cancelled()", victim->cancelled(), timer->cancelled(), ok.cancelled());
    attempt("cancel twice", [&] { victim->cancel(); });
    attempt("cancel after it ran", [&] { ok.cancel(); });
    log("now cancelled()", ok.cancelled());
    auto t = loop.call_later(5s, log, "never");
    log("when", t.when());
    t.cancel();
    attempt("when after cancel", [&] { return t.when(); });
  });
}

}  // namespace conf::s003
