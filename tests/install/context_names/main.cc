// SPDX-License-Identifier: Apache-2.0
//
// Switches to a task and back, and inspects the suspended task.
#include <aiofiber/asyncio.h>

#include <cstdio>

using namespace std::chrono_literals;

int main() {
  return asyncio::run([] {
    auto task = asyncio::create_task([] {
      int turns = 0;
      while (turns < 1000) {
        asyncio::await(asyncio::sleep(0s));
        ++turns;
      }
      return turns;
    });
    asyncio::await(asyncio::sleep(0s));
    const std::size_t frames = task.get_stack().size();
    const int turns = asyncio::await(task);
    std::printf("%d turns, %zu frames\n", turns, frames);
    return turns == 1000 && frames > 0 ? 0 : 1;
  });
}
