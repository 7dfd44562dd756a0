// SPDX-License-Identifier: Apache-2.0
//
// The smallest program of aiofiber: the start to the first task, and the size of the program.
#include <aiofiber/asyncio.h>

#include "hello.h"

int main() { asyncio::run(say_hello); }
