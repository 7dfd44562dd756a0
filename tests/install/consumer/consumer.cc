// SPDX-License-Identifier: Apache-2.0
//
// The smallest program that uses each part of an installed aiofiber: a task, a timer, and the failed await
// outside a task.
#include <aiofiber/asyncio.h>

#include <chrono>
#include <cstdio>

using namespace std::chrono_literals;

int main() {
  const int answer = asyncio::run([] {
    asyncio::Task<int> task = asyncio::create_task([] {
      asyncio::await(asyncio::sleep(1ms));
      return 42;
    });
    return asyncio::await(task);
  });
  std::printf("answer %d\n", answer);
  return answer == 42 ? 0 : 1;
}
