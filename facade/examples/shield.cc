// SPDX-License-Identifier: Apache-2.0
//
// shield(): the caller is cancelled, the shielded task goes on.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "example_loop.h"

using namespace std::chrono_literals;

static std::string something() {
  asyncio::await(asyncio::sleep(2s));
  std::cout << "something is done\n";
  return "result";
}

int main() {
  auto loop = make_example_loop();
  loop->run_until_complete([] {
    auto inner = asyncio::create_task(something);
    auto outer = asyncio::create_task([inner] {
      try {
        asyncio::await(asyncio::shield(inner));
      } catch (const asyncio::CancelledError&) {
        std::cout << "the outer task was cancelled\n";
        throw;
      }
    });
    asyncio::await(asyncio::sleep(1s));
    outer.cancel();
    asyncio::await(asyncio::wait(std::vector{outer}));
    std::cout << "inner cancelled: " << (inner.cancelled() ? "True" : "False") << '\n';
    std::cout << asyncio::await(inner) << '\n';
  });
  loop->close();
}
