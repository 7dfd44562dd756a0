// SPDX-License-Identifier: Apache-2.0
//
// Blocking calls in threads: the loop goes on meanwhile. A time limit ends the wait; the call itself goes on,
// so it owns what it uses.
#include <chrono>
#include <iostream>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"

static int slow_sum(std::shared_ptr<std::mutex> busy, std::vector<int> numbers) {
  const std::scoped_lock wait(*busy);  // blocks the thread
  return std::accumulate(numbers.begin(), numbers.end(), 0);
}

int main() {
  asyncio::run([] {
    auto busy = std::make_shared<std::mutex>();
    auto sum = asyncio::create_task(asyncio::to_thread(slow_sum, busy, std::vector<int>(1000, 2)));
    std::cout << "sum: " << asyncio::await(sum) << '\n';

    busy->lock();
    auto blocked = asyncio::create_task(asyncio::to_thread(slow_sum, busy, std::vector<int>(1000, 3)));
    try {
      asyncio::await(asyncio::wait_for(asyncio::shield(blocked), std::chrono::milliseconds(20)));
    } catch (const asyncio::TimeoutError&) {
      std::cout << "the thread is blocked, the loop is not\n";
    }
    busy->unlock();
    std::cout << "sum: " << asyncio::await(blocked) << '\n';
  });
}
