// SPDX-License-Identifier: Apache-2.0
//
// The date every second for five seconds, with call_later(): each callback schedules the next.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "example_loop.h"

using namespace std::chrono_literals;

static void display_date(asyncio::TimePoint end, asyncio::EventLoop* loop) {
  std::cout << date_and_time(*loop) << '\n';
  if (loop->time() + 1s < end) {
    loop->call_later(1s, display_date, end, loop);
  } else {
    loop->stop();
  }
}

int main() {
  auto loop = make_example_loop();
  loop->call_soon(display_date, loop->time() + 5s, loop.get());
  loop->run_forever();
  loop->close();
}
