// SPDX-License-Identifier: Apache-2.0
//
// Prints "suspended" if a blocking call in a task lets another task run, which writes the data to read;
// otherwise "blocked". As ../consumer/hooked.cc, in C.
#define _POSIX_C_SOURCE 200809L
#include <aiofiber.h>

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static int ends[2];

static void* reads(void* suspended) {
  struct pollfd entry = {ends[0], POLLIN, 0};
  *(int*)suspended = poll(&entry, 1, 500) == 1;
  return NULL;
}

static void* writes(void* unused) {
  if (write(ends[1], "x", 1) != 1) perror("write");
  return unused;
}

static void* run_both(void* suspended) {
  aiofiber_task tasks[2];
  if (aiofiber_spawn(reads, suspended, NULL, &tasks[0]) != 0) return NULL;
  if (aiofiber_spawn(writes, NULL, NULL, &tasks[1]) != 0) return NULL;
  return aiofiber_gather(tasks, 2, NULL, NULL) == 0 ? suspended : NULL;
}

int main(void) {
  int suspended = 0;
  void* result = NULL;
  if (pipe(ends) != 0) return 1;
  const int error = aiofiber_run(run_both, &suspended, NULL, &result);
  if (error != 0 || result != &suspended) {
    fprintf(stderr, "aiofiber_run: %s\n", aiofiber_strerror(error));
    return 1;
  }
  puts(suspended ? "suspended" : "blocked");
  return 0;
}
