// SPDX-License-Identifier: Apache-2.0
//
// Three tasks in parallel, each computing a factorial.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "example_loop.h"

using namespace std::chrono_literals;

static void factorial(std::string name, int number) {
  int f = 1;
  for (int i = 2; i <= number; ++i) {
    std::cout << "Task " << name << ": Compute factorial(" << i << ")...\n";
    asyncio::await(asyncio::sleep(1s));
    f *= i;
  }
  std::cout << "Task " << name << ": factorial(" << number << ") = " << f << '\n';
}

int main() {
  auto loop = make_example_loop();
  loop->run_until_complete([] {
    asyncio::await(
        asyncio::gather([] { factorial("A", 2); }, [] { factorial("B", 3); }, [] { factorial("C", 4); }));
  });
  loop->close();
}
