// SPDX-License-Identifier: Apache-2.0
//
// The date every second for five seconds, with a coroutine that sleeps.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "example_loop.h"

using namespace std::chrono_literals;

static void display_date(asyncio::EventLoop* loop) {
  const auto end = loop->time() + 5s;
  for (;;) {
    std::cout << date_and_time(*loop) << '\n';
    if (loop->time() + 1s >= end) break;
    asyncio::await(asyncio::sleep(1s));
  }
}

int main() {
  auto loop = make_example_loop();
  loop->run_until_complete(asyncio::coroutine(display_date)(loop.get()));
  loop->close();
}
