// SPDX-License-Identifier: Apache-2.0
//
// What each program of start_bench does first: it prints the time of the clock that start_bench looked at,
// and ends at once, so that neither the closing of a loop nor destructors count.
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void hello(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  printf("%lld\n", now.tv_sec * 1000000000ll + now.tv_nsec);
  fflush(stdout);
  _Exit(0);
}
