# SPDX-License-Identifier: Apache-2.0
# The switch pushes an address by hand (jump.h): no data may be below the stack pointer where it is inlined.
set(AIOFIBER_ARCH_SWITCH_OPTIONS -mno-red-zone)
