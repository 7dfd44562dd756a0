// SPDX-License-Identifier: Apache-2.0
//
// run_in_executor / to_thread: value, exception, context, cancel, shutdown.
// The twin of python/058_to_thread_executor.py.
#include "../conf.h"

#include <pthread.h>

#include <thread>

namespace conf::s058 {
namespace {

asyncio::ContextVar<std::string> v("v", "default");

int bad() { throw ValueError("in thread"); }

// "asyncio" of "asyncio_0": the name without its number.
std::string thread_name_prefix() {
  char name[32] = {};
  ::pthread_getname_np(::pthread_self(), name, sizeof name);
  const std::string text = name;
  return text.substr(0, text.rfind('_'));
}

template <class Awaitable>
void expect_error(Awaitable awaitable) {
  try {
    (void)asyncio::await(std::move(awaitable));
  } catch (const ValueError&) {
    emit("error " + exc());
  }
}

void main_task() {
  auto& loop = current_loop();
  loop.set_may_block(true);
  const auto me = std::this_thread::get_id();
  v.set("from task");
  const auto in_thread = [me](int a, int b) {
    return std::tuple(a, b, v.get(), std::this_thread::get_id() != me);
  };
  emit("to_thread " + py(asyncio::await(asyncio::to_thread(in_thread, 1, 2))));
  const auto plain = [](int a) { return std::tuple(a, v.get()); };
  emit("run_in_executor " + py(asyncio::await(loop.run_in_executor(nullptr, plain, 1))));
  expect_error(asyncio::to_thread(bad));
  expect_error(loop.run_in_executor(nullptr, bad));
  ThreadEvent ev, done;
  const auto block = [&] {
    ev.wait();
    done.set();
    return std::string("late");
  };
  auto f = loop.run_in_executor(nullptr, block);
  asyncio::await(asyncio::sleep(0s));
  const bool accepted = f.cancel();
  emit("cancel " + py(accepted) + " cancelled " + py(f.cancelled()));
  ev.set();
  done.wait();
  emit("the thread ran to its end all the same");
  emit("thread name prefix " + asyncio::await(asyncio::to_thread(thread_name_prefix)));
  asyncio::await(asyncio::shutdown_default_executor(loop));
  try {
    (void)asyncio::await(asyncio::to_thread(bad));
  } catch (const asyncio::RuntimeError&) {
    emit(exc());
  }
}

}  // namespace

SCENARIO(058_to_thread_executor) {
  if (strict()) {
    log("(no strict trace: real threads)");
    return;
  }
  auto& lp = new_loop();
  lp.run_until_complete(main_task);
  lp.close();
}

}  // namespace conf::s058
