// SPDX-License-Identifier: Apache-2.0
//
// run_coroutine_threadsafe(): a thread gives work to the loop, its wait times out, and it cancels the work.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "example_loop.h"

using namespace std::chrono_literals;

#include <thread>

static int add(int a, int b, asyncio::Duration delay) {
  asyncio::await(asyncio::sleep(delay));
  return a + b;
}

int main() {
  asyncio::EventLoop loop;  // a real one: a real thread waits for it
  std::thread thread([&] {
    auto quick = asyncio::run_coroutine_threadsafe([] { return add(1, 2, 1ms); }, loop);
    std::cout << "result: " << quick.result(10s) << '\n';
    auto slow = asyncio::run_coroutine_threadsafe([] { return add(3, 4, 1h); }, loop);
    try {
      std::cout << slow.result(20ms) << '\n';
    } catch (const asyncio::TimeoutError&) {
      std::cout << "The coroutine took too long, cancelling the task...\n";
      slow.cancel();
    }
    std::cout << "cancelled: " << (slow.cancelled() ? "True" : "False") << '\n';
    loop.call_soon_threadsafe([&] { loop.stop(); });
  });
  loop.run_forever();
  thread.join();
  loop.run_until_complete([] { asyncio::await(asyncio::sleep(0s)); });  // the cancelled task ends
  loop.close();
}
