// SPDX-License-Identifier: Apache-2.0
//
// wait_for() with a timeout: the slow call is cancelled.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "example_loop.h"

using namespace std::chrono_literals;

static void eternity() {
  try {
    asyncio::await(asyncio::sleep(1h));
    std::cout << "yay!\n";
  } catch (const asyncio::CancelledError&) {
    std::cout << "cancelled\n";
    throw;
  }
}

int main() {
  auto loop = make_example_loop();
  loop->run_until_complete([] {
    try {
      asyncio::await(asyncio::wait_for(eternity, 1s));
    } catch (const asyncio::TimeoutError&) {
      std::cout << "timeout!\n";
    }
  });
  loop->close();
}
