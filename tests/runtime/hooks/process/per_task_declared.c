/* SPDX-License-Identifier: Apache-2.0
 *
 * Old code whose variables are declared to have a value per task, with the macros for C.
 */
#include <sched.h>
#include <stdio.h>

#include <aiofiber/per_task.h>

#include "per_task_legacy.h"

static int declared = 7;
AIOFIBER_PER_TASK(declared);
static int at_start = 3;
AIOFIBER_PER_TASK_FROM_START(at_start);

static int next_number;
static void give_number(void* value, size_t bytes, void* argument) {
  (void)bytes, (void)argument;
  *(int*)value = ++next_number;
}
static int released;
static void count_release(void* value, size_t bytes, void* argument) {
  (void)value, (void)bytes, (void)argument;
  ++released;
}
static int numbered;
AIOFIBER_PER_TASK_WITH(numbered, give_number, count_release);

int legacy_declared(int number) {
  static char line[100];
  AIOFIBER_PER_TASK(line);
  if (declared != 7 || at_start != 3 || numbered == 0) return 0;
  const int own = numbered;
  declared = at_start = number;
  snprintf(line, sizeof line, "line %d", number);
  sched_yield();
  int seen = -1;
  return sscanf(line, "line %d", &seen) == 1 && seen == number && declared == number && at_start == number &&
         numbered == own;
}

int legacy_values_out(void) { return next_number - released; }
