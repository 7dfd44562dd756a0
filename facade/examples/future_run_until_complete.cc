// SPDX-License-Identifier: Apache-2.0
//
// A future that a task completes, and run_until_complete() of the future.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "example_loop.h"

using namespace std::chrono_literals;

static void slow_operation(asyncio::Future<std::string> future) {
  asyncio::await(asyncio::sleep(1s));
  future.set_result("Future is done!");
}

int main() {
  auto loop = make_example_loop();
  auto future = loop->create_future<std::string>();
  loop->create_task(slow_operation, future).detach();
  loop->run_until_complete(future);
  std::cout << future.result() << '\n';
  loop->close();
}
