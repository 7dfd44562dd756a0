// SPDX-License-Identifier: Apache-2.0
//
// The loop of an example: the real one, or, if AIOFIBER_VIRTUAL_TIME is set, one with a virtual clock. On the
// virtual clock, tests run programs of many seconds in no time. Also the date that those programs print.
#pragma once

#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"

inline bool virtual_time() { return ::secure_getenv("AIOFIBER_VIRTUAL_TIME") != nullptr; }

inline std::unique_ptr<asyncio::EventLoop> make_example_loop() {
  if (virtual_time()) return std::make_unique<asyncio::testing::TestLoop>();
  return asyncio::new_event_loop();
}

// "2026-01-01 00:00:03": the wall clock's time, or on virtual time a fixed start plus the loop's time.
inline std::string date_and_time(asyncio::EventLoop& loop) {
  std::time_t now = std::time(nullptr);
  if (virtual_time())
    now = 1767225600 + static_cast<std::time_t>(loop.time().time_since_epoch().count() / 1'000'000'000);
  std::tm parts;
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return text;
}
