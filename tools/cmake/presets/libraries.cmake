# SPDX-License-Identifier: Apache-2.0
# What is installed, and nothing else.
foreach(part TESTS BENCH EXAMPLES)
  set(AIOFIBER_${part} OFF CACHE BOOL "")
endforeach()
set(AIOFIBER_WARNINGS_AS_ERRORS OFF CACHE BOOL "")
