// SPDX-License-Identifier: Apache-2.0
//
// A job that is still queued in the executor is really cancelled; a finished result wins over a late cancel.
// The twin of python/084_executor_queue_cancel.py.
#include "../conf.h"

namespace conf::s084 {

static void main_task() {
  auto& loop = current_loop();
  loop.set_may_block(true);
  asyncio::ThreadPoolExecutor ex(1);
  ThreadEvent gate;
  std::vector<std::string> ran;  // touched by the pool's only thread
  const auto wait = [&gate] {
    gate.wait();
    return true;
  };
  const auto append = [&ran](const char* text) { ran.emplace_back(text); };
  auto a = loop.run_in_executor(&ex, wait);
  auto b = loop.run_in_executor(&ex, append, "b");
  auto c = loop.run_in_executor(&ex, append, "c");
  emit("cancel queued " + py(b.cancel()));
  asyncio::await(asyncio::sleep(0s));
  gate.set();
  const bool waited = asyncio::await(a);
  const std::string appended = py_result([&] { asyncio::await(c); });
  emit("a " + py(waited) + " c " + appended + " ran " + py(ran));
  try {
    asyncio::await(b);
  } catch (const asyncio::CancelledError&) {
    emit("b raises CancelledError");
  }
  using Source = asyncio::concurrent::Future<int>;
  Source cf;
  auto w = asyncio::wrap_future(cf);
  emit("wrap " + py(asyncio::isfuture(w)) + " " + py(asyncio::wrap_future(w) == w));
  w.cancel();
  ticks(2);
  emit("cancel travels back " + py(cf.cancelled()));
  cf = Source();
  w = asyncio::wrap_future(cf);
  cf.set_result(42);
  w.cancel();
  ticks(3);
  emit("result first, cancel later: " + py(cf.cancelled()) + " " + py(cf.result()) + " " + py(w.cancelled()));
  cf = Source();
  w = asyncio::wrap_future(cf);
  cf.cancel();
  ticks(3);
  emit("cancelled source: " + py(w.cancelled()));
  cf = Source();
  w = asyncio::wrap_future(cf);
  cf.set_exception(std::make_exception_ptr(ValueError("v")));
  try {
    asyncio::await(w);
  } catch (const ValueError&) {
    emit("exception copied " + exc());
  }
  ex.shutdown(true);
}

SCENARIO(084_executor_queue_cancel) {
  if (strict()) {
    log("(no strict trace: real threads)");
    return;
  }
  auto& lp = new_loop();
  lp.run_until_complete(main_task);
  lp.close();
}

}  // namespace conf::s084
