// SPDX-License-Identifier: Apache-2.0
//
// Chained coroutines: print_sum() waits for compute(), which sleeps.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "example_loop.h"

using namespace std::chrono_literals;

static int compute(int x, int y) {
  std::cout << "Compute " << x << " + " << y << " ...\n";
  asyncio::await(asyncio::sleep(1s));
  return x + y;
}

static void print_sum(int x, int y) {
  const int result = compute(x, y);  // an ordinary call: it suspends where compute() awaits
  std::cout << x << " + " << y << " = " << result << '\n';
}

int main() {
  auto loop = make_example_loop();
  loop->run_until_complete(asyncio::coroutine(print_sum)(1, 2));
  loop->close();
}
