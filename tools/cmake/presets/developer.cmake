# SPDX-License-Identifier: Apache-2.0
# Everything. Tests are compiled without much optimization and without the types of variables: that takes less than half as long.
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(AIOFIBER_TEST_OPTIONS "-Og;-g1" CACHE STRING "")
set(AIOFIBER_BENCH_ON_DEMAND ON CACHE BOOL "")
