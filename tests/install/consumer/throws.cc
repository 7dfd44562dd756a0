// SPDX-License-Identifier: Apache-2.0
//
// A task throws and its awaiter catches: for ways of linking that easily break exceptions.
#include <aiofiber/asyncio.h>

#include <cstdio>
#include <stdexcept>

int main() {
  asyncio::run([] {
    asyncio::Task<> task = asyncio::create_task([] { throw std::runtime_error("the task threw"); });
    try {
      asyncio::await(task);
    } catch (const std::runtime_error& error) {
      std::printf("caught what %s\n", error.what());
    }
  });
}
