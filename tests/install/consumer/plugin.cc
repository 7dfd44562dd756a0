// SPDX-License-Identifier: Apache-2.0
//
// A plugin that uses aiofiber's headers and is not linked with aiofiber: the program provides the code that
// waits.
#include <aiofiber/asyncio.h>

#include <cstdio>

extern "C" void run_plugin(void (*wait)(asyncio::Duration)) {
  wait(asyncio::Duration(std::chrono::milliseconds(1)));
  std::puts("waited in the plugin");
}
