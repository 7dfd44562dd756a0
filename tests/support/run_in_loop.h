// SPDX-License-Identifier: Apache-2.0
//
// run_in_loop() runs the body of most facade tests as a task of a new loop on virtual time. Then it closes
// the loop, so tasks left pending are reported and unwound.
#pragma once

#include <utility>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"

namespace aiofiber {

template <class F>
void run_in_loop(F body) {
  testing::TestLoop loop;
  loop.run_until_complete(std::move(body));
  loop.close();
}

}  // namespace aiofiber
