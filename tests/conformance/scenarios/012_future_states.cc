// SPDX-License-Identifier: Apache-2.0
//
// State machine and error types of a bare Future.
// The twin of python/012_future_states.py.
#include "../conf.h"

namespace conf::s012 {

// Like attempt(), but the type of an error alone.
template <class Fn>
static void kind(const char* label, Fn fn) {
  try {
    log(label, "->", py_result(fn));
  } catch (...) {
    log(label, "!!", exc_name(std::current_exception()));
  }
}

SCENARIO(012_future_states) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    auto f = loop.create_future<int>();
    log("new", f.done(), f.cancelled(), st(f));
    kind("result", [&] { return f.result(); });
    kind("exception", [&] { return f.exception(); });
    kind("set_result", [&] { f.set_result(1); });
    kind("set_result again", [&] { f.set_result(2); });
    kind("set_exception after result", [&] { f.set_exception(ValueError()); });
    kind("cancel after result", [&] { return f.cancel(); });
    kind("result", [&] { return f.result(); });
    kind("exception", [&] { return f.exception(); });
    auto g = loop.create_future<int>();
    kind("cancel", [&] { return g.cancel("msg"); });
    kind("cancel again", [&] { return g.cancel("other"); });
    attempt("result", [&] { return g.result(); });
    attempt("exception", [&] { return g.exception(); });
    attempt("result again", [&] { return g.result(); });
    kind("set_result on cancelled", [&] { g.set_result(1); });
    log(g.done(), g.cancelled());
    auto h = loop.create_future<int>();
    kind("set_exception class", [&] { h.set_exception(KeyError()); });
    log(exc(h.exception()));
    kind("result", [&] { return h.result(); });
    auto k = loop.create_future<int>();
    k.set_exception(asyncio::CancelledError("as exception"));
    log("cancelled()", k.cancelled(), exc(k.exception()));
    attempt("result", [&] { return k.result(); });
    log(asyncio::isfuture(f), asyncio::isfuture(1), &f.get_loop() == &loop);
  });
}

}  // namespace conf::s012
