// SPDX-License-Identifier: Apache-2.0
//
// <aiofiber.h> before the other headers: in C++ the function aiofiber_wait() hides the enum aiofiber_wait.
// Only compiled.
#include <aiofiber.h>

#include <aiofiber/asyncio.h>
#include <aiofiber/hooks.h>
