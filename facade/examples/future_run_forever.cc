// SPDX-License-Identifier: Apache-2.0
//
// A future whose done-callback ends run_forever().
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
  future.add_done_callback([&](asyncio::Future<std::string> done) {
    std::cout << done.result() << '\n';
    loop->stop();
  });
  loop->run_forever();
  loop->close();
}
