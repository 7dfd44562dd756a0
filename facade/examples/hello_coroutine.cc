// SPDX-License-Identifier: Apache-2.0
//
// Hello world with a coroutine.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "example_loop.h"

using namespace std::chrono_literals;

static void hello_world() { std::cout << "Hello World!\n"; }

int main() {
  auto loop = make_example_loop();
  // Blocks until hello_world() has run.
  loop->run_until_complete(hello_world);
  loop->close();
}
