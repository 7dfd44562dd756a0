// SPDX-License-Identifier: Apache-2.0
//
// Prints "suspended" if a blocking read() lets another task run, which writes the data to read; otherwise
// "blocked".
#include <aiofiber/asyncio.h>

#include <poll.h>
#include <unistd.h>

#include <cstdio>

int main() {
  int ends[2];
  if (pipe(ends) != 0) return 1;
  const bool suspended = asyncio::run([&] {
    asyncio::Task<bool> reader = asyncio::create_task([&] {
      pollfd entry{ends[0], POLLIN, 0};
      return poll(&entry, 1, 500) == 1;
    });
    asyncio::Task<void> writer = asyncio::create_task([&] { (void)!write(ends[1], "x", 1); });
    const bool result = asyncio::await(reader);
    asyncio::await(writer);
    return result;
  });
  std::puts(suspended ? "suspended" : "blocked");
}
