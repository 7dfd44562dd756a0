// SPDX-License-Identifier: Apache-2.0
//
// Two tasks keep their number behind one static pointer. The search for shared state says so in a program that was
// compiled for it.
#define _DEFAULT_SOURCE
#include <aiofiber.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int* current;

static void* keeps(void* number) {
  if (current == NULL) current = malloc(sizeof *current);
  *current = *(int*)number;
  usleep(1000);
  return *current == *(int*)number ? number : NULL;
}

static void* run_both(void* numbers) {
  aiofiber_task tasks[2];
  for (int i = 0; i < 2; ++i) {
    if (aiofiber_spawn(keeps, (int*)numbers + i, NULL, &tasks[i]) != 0) return NULL;
  }
  return aiofiber_gather(tasks, 2, NULL, NULL) == 0 ? numbers : NULL;
}

int main(void) {
  int numbers[] = {1, 2};
  const int error = aiofiber_run(run_both, numbers, NULL, NULL);
  if (error != 0) fprintf(stderr, "aiofiber_run: %s\n", aiofiber_strerror(error));
  return error != 0;
}
