# SPDX-License-Identifier: Apache-2.0
# The libraries for programs with -fsanitize=address. The command is no such program.
include(${CMAKE_CURRENT_LIST_DIR}/libraries.cmake)
set(AIOFIBER_SANITIZE address CACHE STRING "")
set(AIOFIBER_COMMAND OFF CACHE BOOL "")
