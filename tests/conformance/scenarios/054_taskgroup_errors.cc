// SPDX-License-Identifier: Apache-2.0
//
// TaskGroup: child error aborts siblings and body; grouping; no new tasks while aborting.
// The twin of python/054_taskgroup_errors.py.
#include "../conf.h"

namespace conf::s054 {

static void bad(const char* n, asyncio::Duration d) {
  asyncio::await(asyncio::sleep(d));
  throw ValueError(n);
}

static void nice(const char* n, asyncio::TaskGroup* tg) {
  try {
    asyncio::await(asyncio::sleep(10s));
  } catch (const asyncio::CancelledError&) {
    log(n, "cancelled", exc());
    asyncio::await(asyncio::sleep(.1s));
    if (tg != nullptr) {
      try {
        tg->create_task(nice, "late", nullptr).detach();
      } catch (const asyncio::RuntimeError& e) {
        log("create_task:", scrub(e.what()));
      }
    }
    throw;
  }
}

SCENARIO(054_taskgroup_errors) {
  run([] {
    try {
      asyncio::await(asyncio::task_group([](asyncio::TaskGroup& tg) {
        tg.create_task(bad, "b1", .1s).detach();
        tg.create_task(nice, "n", &tg).detach();
        try {
          asyncio::await(asyncio::sleep(5s));
          log("body finished (wrong)");
        } catch (const asyncio::CancelledError&) {
          log("body cancelled", exc(), "cancelling", cancelling(), tg);
          throw;
        }
      }));
    } catch (const asyncio::ExceptionGroup& eg) {
      log("group", exc(eg.subgroup<asyncio::ValueError>()), "cancelling", cancelling());
    }
    try {
      asyncio::await(asyncio::task_group([](asyncio::TaskGroup& tg) {
        tg.create_task(bad, "x1", .1s).detach();
        tg.create_task(bad, "x2", .1s).detach();
      }));
    } catch (const asyncio::ExceptionGroup&) {
      log("two in one pass", exc());
    }
    asyncio::Task<> n;
    try {
      asyncio::await(asyncio::task_group([&n](asyncio::TaskGroup& tg) {
        n = tg.create_task(nice, "n2", nullptr);
        asyncio::await(asyncio::sleep(0s));
        throw KeyError("body");
      }));
    } catch (const asyncio::ExceptionGroup&) {
      log("body error", exc(), st(n));
    }
    try {
      asyncio::await(asyncio::task_group([](asyncio::TaskGroup& tg) {
        tg.create_task(bad, "c", .1s).detach();
        try_finally([] { asyncio::await(asyncio::sleep(5s)); },
                    [] { throw OSError("clean-up of the body failed"); });
      }));
    } catch (const asyncio::ExceptionGroup&) {
      log("both", exc(), "cancelling", cancelling());
    }
    try {
      asyncio::await(asyncio::task_group([](asyncio::TaskGroup& tg) {
        tg.create_task(bad, "swallow", .1s).detach();
        try {
          asyncio::await(asyncio::sleep(5s));
        } catch (const asyncio::CancelledError&) {
          log("body swallows");
        }
        asyncio::await(asyncio::sleep(.2s));
        log("body goes on after swallowing");
      }));
    } catch (const asyncio::ExceptionGroup&) {
      log(exc(), "cancelling", cancelling());
    }
  });
}

}  // namespace conf::s054
