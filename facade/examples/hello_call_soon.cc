// SPDX-License-Identifier: Apache-2.0
//
// Hello world with call_soon(): a plain callback that ends the loop.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "example_loop.h"

using namespace std::chrono_literals;

static void hello_world(asyncio::EventLoop* loop) {
  std::cout << "Hello World\n";
  loop->stop();
}

int main() {
  auto loop = make_example_loop();
  loop->call_soon(hello_world, loop.get());
  loop->run_forever();
  loop->close();
}
