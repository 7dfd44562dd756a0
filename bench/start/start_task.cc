// SPDX-License-Identifier: Apache-2.0
//
// A task that prints a line.
#include <aiofiber/asyncio.h>

#include "hello.h"

int main() {
  asyncio::run([] { hello(); });
}
