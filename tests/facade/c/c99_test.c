// SPDX-License-Identifier: Apache-2.0
//
// <aiofiber.h> as strict C99 sees it, in a program with the hooks: each function once, and libc's blocking
// calls in tasks. Exits with 0 if all is as it should be. c_tasks_test and c_objects_test have the edges.
#define _DEFAULT_SOURCE
#include <aiofiber.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int failures = 0;

static void check_at(int line, int holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "c99_test.c:%d: not so: %s\n", line, what);
  ++failures;
}
#define CHECK(condition) check_at(__LINE__, condition, #condition)

// ---- a question and its answer over a socket: blocking calls suspend the task -----------------------------

struct talk {
  int ends[2];
  char answer[16];
};

static void* ask(void* pointer) {
  struct talk* talk = pointer;
  CHECK(send(talk->ends[0], "question", 9, 0) == 9);
  CHECK(recv(talk->ends[0], talk->answer, sizeof talk->answer, 0) == 7);
  return talk->answer;
}

static void* answer(void* pointer) {
  const struct talk* talk = pointer;
  char question[16];
  CHECK(recv(talk->ends[1], question, sizeof question, 0) == 9);
  CHECK(aiofiber_sleep(0.001) == 0);
  CHECK(send(talk->ends[1], "answer", 7, 0) == 7);
  return NULL;
}

static void test_talk(void) {
  struct talk talks[10];
  aiofiber_task tasks[20];
  void* results[20];
  int errors[20];
  for (int i = 0; i < 10; ++i) {
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, talks[i].ends) == 0);
    CHECK(aiofiber_spawn(ask, &talks[i], NULL, &tasks[i]) == 0);
    CHECK(aiofiber_spawn(answer, &talks[i], NULL, &tasks[10 + i]) == 0);
  }
  CHECK(aiofiber_gather(tasks, 20, results, errors) == 0);
  for (int i = 0; i < 10; ++i) {
    CHECK(errors[i] == 0 && strcmp(results[i], "answer") == 0);
    close(talks[i].ends[0]);
    close(talks[i].ends[1]);
  }
}

// ---- a cancelled call fails, and the function ends as after any error -------------------------------------

static void* reads_for_ever(void* pointer) {
  const int* ends = pointer;
  char* memory = malloc(100);
  const ssize_t got = recv(ends[0], memory, 100, 0);
  CHECK(got == -1 && errno == ECANCELED);
  CHECK(aiofiber_cancelling() == 1);
  CHECK(recv(ends[0], memory, 100, 0) == -1 && errno == ECANCELED);
  CHECK(aiofiber_sleep(3600) == AIOFIBER_CANCELLED);
  free(memory);
  return pointer;
}

static void* sleeps_and_goes_on(void* pointer) {
  CHECK(aiofiber_sleep(3600) == AIOFIBER_CANCELLED);
  CHECK(usleep(1) == -1 && errno == ECANCELED);
  CHECK(aiofiber_uncancel() == 0);
  CHECK(usleep(1) == 0);
  return pointer;
}

static void test_cancel(void) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  aiofiber_task task;
  void* result = NULL;
  CHECK(aiofiber_spawn(reads_for_ever, ends, NULL, &task) == 0);
  CHECK(aiofiber_wait_for(task, 0.01, &result) == AIOFIBER_TIMED_OUT);
  CHECK(result == ends);
  // Before the task's first step: its first call fails.
  CHECK(aiofiber_spawn(reads_for_ever, ends, NULL, &task) == 0);
  CHECK(aiofiber_cancel(task) == 0);
  CHECK(aiofiber_wait(task, &result) == AIOFIBER_TASK_CANCELLED);
  CHECK(result == ends);
  CHECK(aiofiber_spawn(sleeps_and_goes_on, ends, NULL, &task) == 0);
  CHECK(aiofiber_sleep(0) == 0);
  CHECK(aiofiber_cancel(task) == 0);
  CHECK(aiofiber_wait(task, NULL) == 0);
  close(ends[0]);
  close(ends[1]);
}

// ---- the rest ---------------------------------------------------------------------------------------------

static aiofiber_key key;

static void* named(void* pointer) {
  char name[20];
  CHECK(aiofiber_name(name, sizeof name) == 5 && strcmp(name, "named") == 0);
  CHECK(aiofiber_set_name("renamed") == 0);
  CHECK(aiofiber_get(key) == NULL);
  CHECK(aiofiber_set(key, pointer) == 0);
  CHECK(aiofiber_get(key) == pointer);
  return NULL;
}

static void count_destroyed(void* count) { ++*(int*)count; }

static void test_options_and_data(void) {
  struct aiofiber_task_options options = AIOFIBER_TASK_OPTIONS;
  options.name = "named";
  aiofiber_task task;
  int destroyed = 0;
  CHECK(aiofiber_key_create(count_destroyed, &key) == 0);
  CHECK(aiofiber_spawn(named, &destroyed, &options, &task) == 0);
  CHECK(aiofiber_wait(task, NULL) == 0);
  CHECK(destroyed == 1);
  CHECK(aiofiber_spawn(
            named, &destroyed,
            &(struct aiofiber_task_options){.size = sizeof(struct aiofiber_task_options), .name = "named"},
            &task) == 0);
  CHECK(aiofiber_done(task) == 0 && aiofiber_cancelled(task) == 0);
  CHECK(aiofiber_detach(task) == 0);
  CHECK(aiofiber_detach(task) == AIOFIBER_INVALID);
  CHECK(aiofiber_sleep(0) == 0);
  CHECK(destroyed == 2);
  CHECK(aiofiber_key_delete(key) == 0);
}

static void test_semaphore(void) {
  aiofiber_semaphore semaphore;
  CHECK(aiofiber_semaphore_create(1, &semaphore) == 0);
  CHECK(aiofiber_semaphore_acquire(semaphore) == 0);
  CHECK(aiofiber_semaphore_acquire_for(semaphore, 0.001) == AIOFIBER_TIMED_OUT);
  CHECK(aiofiber_semaphore_release(semaphore) == 0);
  CHECK(aiofiber_semaphore_destroy(semaphore) == 0);
  CHECK(aiofiber_semaphore_destroy(semaphore) == AIOFIBER_INVALID);
}

static void* run_all(void* pointer) {
  test_talk();
  test_cancel();
  test_options_and_data();
  test_semaphore();
  return pointer;
}

int main(void) {
  void* result = NULL;
  CHECK(aiofiber_sleep(0) == AIOFIBER_NO_LOOP);
  CHECK(aiofiber_run(run_all, &failures, NULL, &result) == 0);
  CHECK(result == &failures);
  CHECK(strcmp(aiofiber_strerror(AIOFIBER_TIMED_OUT), "the time limit has passed") == 0);
  if (failures == 0) puts("as it should be");
  return failures == 0 ? 0 : 1;
}
