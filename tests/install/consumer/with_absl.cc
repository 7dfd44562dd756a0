// SPDX-License-Identifier: Apache-2.0
//
// A program that speaks of time as abseil does. It links abseil's time itself.
#include <absl/time/time.h>
#include <aiofiber/absl.h>
#include <aiofiber/asyncio.h>

#include <cstdio>

int main() {
  const int answer = asyncio::run([] {
    const asyncio::EventLoop& loop = asyncio::get_running_loop();
    const asyncio::TimePoint due = asyncio::to_time_point(absl::Now() + absl::Milliseconds(2), loop);
    asyncio::await(asyncio::sleep(absl::Milliseconds(5)));
    return loop.time() > due ? 42 : 0;
  });
  std::printf("answer %d\n", answer);
  return answer == 42 ? 0 : 1;
}
