// SPDX-License-Identifier: Apache-2.0
//
// A job every second, at fixed times however long it takes, until SIGTERM. A run that has begun is finished.
#include <csignal>
#include <iostream>

#include "example_loop.h"

static void job(int number) {
  std::cout << "run " << number << " begins\n";
  asyncio::await(asyncio::sleep(std::chrono::milliseconds(300)));
  std::cout << "run " << number << " ends\n";
}

// Waits until `when`, or until `stop` is set; then it gives true.
static bool stopped_before(asyncio::Event& stop, asyncio::TimePoint when) {
  try {
    return asyncio::await(asyncio::timeout_at(when, [&] { return asyncio::await(stop.wait()); }));
  } catch (const asyncio::TimeoutError&) {
    return false;
  }
}

int main() {
  auto loop = make_example_loop();
  loop->run_until_complete([&] {
    asyncio::Event stop;
    loop->add_signal_handler(SIGTERM, [&] {
      std::cout << "SIGTERM\n";
      stop.set();
    });
    loop->call_later(std::chrono::milliseconds(2100),
                     [] { std::raise(SIGTERM); });  // as an administrator does
    auto next = loop->time();
    for (int number = 1; !stop.is_set(); ++number) {
      job(number);
      next += std::chrono::seconds(1);  // not "a second from now", which would drift
      if (stopped_before(stop, next)) break;
    }
    std::cout << "clean end\n";
    loop->remove_signal_handler(SIGTERM);
  });
  loop->close();
}
