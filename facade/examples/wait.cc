// SPDX-License-Identifier: Apache-2.0
//
// wait(): first one of the tasks, then all of them.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "example_loop.h"

using namespace std::chrono_literals;

static int work(int seconds) {
  asyncio::await(asyncio::sleep(std::chrono::seconds(seconds)));
  return seconds;
}

int main() {
  auto loop = make_example_loop();
  loop->run_until_complete([] {
    std::vector<asyncio::Task<int>> tasks;
    for (const int seconds : {3, 1, 2}) tasks.push_back(asyncio::create_task(work, seconds));
    auto [done, pending] = asyncio::await(asyncio::wait(tasks, {.return_when = asyncio::FIRST_COMPLETED}));
    std::cout << "first: " << done.size() << " done, " << pending.size() << " pending\n";
    auto [all, none] = asyncio::await(asyncio::wait(tasks));
    std::cout << "all: " << all.size() << " done, " << none.size() << " pending\n";
  });
  loop->close();
}
