// SPDX-License-Identifier: Apache-2.0
//
// A task prints its stack: names and lines come from libdw, which is opened then, or is linked in a static
// program.
#include <aiofiber/asyncio.h>

#include <iostream>

namespace {

[[gnu::noinline]] void wait_here() {
  asyncio::current_task()->print_stack(std::nullopt, &std::cout);
  asm volatile("");
}

}  // namespace

int main() {
  asyncio::run([] { wait_here(); });
}
