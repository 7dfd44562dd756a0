// SPDX-License-Identifier: Apache-2.0
//
// as_completed(): results in order of completion.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "example_loop.h"

using namespace std::chrono_literals;

static std::string fetch(std::string name, int seconds) {
  asyncio::await(asyncio::sleep(std::chrono::seconds(seconds)));
  return name;
}

int main() {
  auto loop = make_example_loop();
  loop->run_until_complete([] {
    const auto coroutine = asyncio::coroutine(fetch);
    std::vector<asyncio::Task<std::string>> tasks;
    tasks.push_back(asyncio::create_task(coroutine("slow", 3)));
    tasks.push_back(asyncio::create_task(coroutine("fast", 1)));
    tasks.push_back(asyncio::create_task(coroutine("middle", 2)));
    for (auto next : asyncio::as_completed(tasks)) std::cout << asyncio::await(std::move(next)) << '\n';
  });
  loop->close();
}
