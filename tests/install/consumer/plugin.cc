// SPDX-License-Identifier: Apache-2.0
//
// A plugin that sees aiofiber's headers and is not linked with it: what waits is the program's.
#include <aiofiber/asyncio.h>

#include <cstdio>

extern "C" void run_plugin(void (*wait)(asyncio::Duration)) {
  wait(asyncio::Duration(std::chrono::milliseconds(1)));
  std::puts("waited in the plugin");
}
