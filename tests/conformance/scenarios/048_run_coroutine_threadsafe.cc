// SPDX-License-Identifier: Apache-2.0
//
// run_coroutine_threadsafe: result, exception, cancel from the thread, cancelled task, timeout.
// The twin of python/048_run_coroutine_threadsafe.py.
#include "../conf.h"

#include <future>
#include <thread>

namespace conf::s048 {
namespace {

ThreadEvent started;
std::promise<std::string> note;

const auto val = asyncio::coroutine([](int n) {
  asyncio::await(asyncio::sleep(.01s));
  return n;
});
const auto bad = asyncio::coroutine([] {
  asyncio::await(asyncio::sleep(.01s));
  throw ValueError("in coro");
});
const auto selfcancel = asyncio::coroutine([] {
  asyncio::current_task()->cancel("c");
  asyncio::await(asyncio::sleep(1s));
});
const auto forever = asyncio::coroutine([] {
  started.set();
  try {
    asyncio::await(asyncio::get_running_loop().create_future<>());
  } catch (const asyncio::CancelledError&) {
    note.set_value("coroutine was cancelled");
    throw;
  }
});

using Rows = std::vector<std::string>;

// Python's rows are tuples, printed with blanks between the items.
template <class... Parts>
void row(Rows& out, const Parts&... parts) {
  std::string text;
  ((text += (text.empty() ? "" : " ") + str(parts)), ...);
  out.push_back(text);
}

void thread(asyncio::EventLoop& loop, asyncio::Future<Rows>& fin) {
  Rows out;
  try {
    auto f = asyncio::run_coroutine_threadsafe(val(5), loop);
    row(out, "type concurrent", std::is_same_v<decltype(f), asyncio::concurrent::Future<int>>);
    row(out, "value", f.result(5s));
    auto b = asyncio::run_coroutine_threadsafe(bad(), loop);
    try {
      b.result(5s);
    } catch (const ValueError& e) {
      row(out, "ValueError", static_cast<const asyncio::ValueError&>(e).what());
    }
    auto g = asyncio::run_coroutine_threadsafe(selfcancel(), loop);
    try {
      g.result(5s);
    } catch (const asyncio::concurrent::CancelledError&) {
      row(out, "concurrent CancelledError", g.cancelled());
    }
    auto h = asyncio::run_coroutine_threadsafe(forever(), loop);
    started.wait();
    try {
      h.result(.01s);
    } catch (const asyncio::TimeoutError&) {
      row(out, "TimeoutError, still running", !h.done());
    }
    const bool accepted = h.cancel();
    row(out, "cancel", accepted, h.cancelled());
    row(out, "note", note.get_future().get());
  } catch (...) {
    row(out, "thread failed", exc());
  }
  loop.call_soon_threadsafe([&fin, out] { fin.set_result(out); });
}

}  // namespace

SCENARIO(048_run_coroutine_threadsafe) {
  if (strict()) {
    log("(no strict trace: real threads)");
    return;
  }
  auto& lp = new_loop();
  lp.run_until_complete([&lp] {
    lp.set_may_block(true);
    auto fin = lp.create_future<Rows>();
    std::thread th([&] { thread(lp, fin); });
    for (const std::string& line : asyncio::await(fin)) emit(line);
    th.join();
  });
  lp.close();
}

}  // namespace conf::s048
