// SPDX-License-Identifier: Apache-2.0
//
// Calls the templates of the public headers as a program does. It is only compiled, with every warning as an
// error: users cannot fix warnings of the headers.
#include <aiofiber/absl.h>
#include <aiofiber/asyncio.h>
#include <aiofiber/hooks.h>
#include <aiofiber/testing.h>

#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

int twice(int x) { return 2 * x; }

void tasks() {
  asyncio::Task<int> a = asyncio::create_task(twice, 1);
  asyncio::Task<> b = asyncio::create_task({.name = "b", .stack_size = 64 * 1024}, [] {});
  asyncio::Task<std::string> c = asyncio::create_task([](std::string text) { return text; }, "c");
  asyncio::await(asyncio::gather(
      a, b, [] { return 1; }, [] {}));
  asyncio::await(asyncio::gather(asyncio::return_exceptions, a, [] { return std::string(); }));
  asyncio::await(asyncio::gather(std::vector<asyncio::Task<int>>{a}));
  asyncio::await(asyncio::wait({a}, {.timeout = 1s, .return_when = asyncio::FIRST_COMPLETED}));
  for (auto next : asyncio::as_completed(std::vector<asyncio::Task<int>>{a}, 1s)) asyncio::await(next);
  asyncio::await(asyncio::wait_for([] { return 1; }, 2.5s));
  asyncio::await(asyncio::shield(a));
  asyncio::await(asyncio::timeout(1s, [] {}));
  asyncio::await(asyncio::task_group([](asyncio::TaskGroup& tg) { tg.create_task([] {}); }));
  asyncio::await(asyncio::sleep(0s, 5));
  a.add_done_callback([](asyncio::Future<int>) {});
  a.cancel();
  a.print_stack();
  asyncio::await(asyncio::coroutine(twice)(3));
  asyncio::await(asyncio::sleep(absl::Seconds(1)));
}

void loops() {
  asyncio::EventLoop& loop = asyncio::get_running_loop();
  loop.call_soon([] {});
  loop.call_later(
      1ms, [](int) {}, 1);
  loop.call_soon_threadsafe([] {});
  loop.add_reader(0, [] {});
  loop.set_exception_handler([](asyncio::EventLoop&, const asyncio::ExceptionContext&) {});
  asyncio::await(asyncio::to_thread(twice, 2));
  asyncio::await(loop.run_in_executor(nullptr, [] { return 1; }));
  asyncio::run_coroutine_threadsafe([] { return 1; }, loop).result(1s);
}

void locks() {
  asyncio::Lock lock;
  asyncio::await(lock.acquire());
  lock.release();
  asyncio::Event event;
  asyncio::await(event.wait());
  asyncio::Queue<std::string> queue(3);
  asyncio::await(queue.put("x"));
  asyncio::await(queue.get());
  asyncio::Semaphore semaphore(2);
  asyncio::await(semaphore.acquire());
  asyncio::Condition condition;
  asyncio::await(condition.wait_for([] { return true; }));
  asyncio::Barrier barrier(2);
  asyncio::await(barrier.wait());
  const aiofiber::hooks::Disable off;
}

}  // namespace

int main() {
  asyncio::run([] {
    tasks();
    loops();
    locks();
  });
}
