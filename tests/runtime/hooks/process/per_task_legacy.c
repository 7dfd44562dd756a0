/* SPDX-License-Identifier: Apache-2.0
 *
 * Code that is right for one caller at a time, in the idioms of old C programs. It knows nothing of tasks: it
 * waits in sched_yield(), as such code waits in read() or connect(). per_task_test.cc runs 25 of it at once.
 */
#include "per_task_legacy.h"

#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A buffer that is filled, waited with, and used: a file is sent in pieces. */
int legacy_upload(int number) {
  static char chunk[8192];
  int right = 1;
  for (int piece = 0; piece < 3; ++piece) {
    memset(chunk, 'a' + number, sizeof chunk);
    sched_yield(); /* the socket is full */
    for (size_t i = 0; i < sizeof chunk; ++i) right = right && chunk[i] == 'a' + number;
  }
  return right;
}

/* A global is set, a call looks at it, and it is set back. */
const char* legacy_method = "GET";

static int send_request(const char* wanted) {
  sched_yield(); /* it connects */
  return strcmp(legacy_method, wanted) == 0;
}

int legacy_post(int number) {
  static const char* const methods[] = {"GET", "POST", "PUT"};
  const char* wanted = methods[number % 3];
  const char* saved = legacy_method;
  legacy_method = wanted;
  int right = send_request(wanted);
  legacy_method = saved;
  sched_yield();
  return right;
}

/* An iterator in the style of strtok(). */
static char* rest;

static char* next_word(char* text) {
  if (text != NULL) rest = text;
  if (rest == NULL || *rest == '\0') return NULL;
  char* word = rest;
  char* end = strchr(rest, ' ');
  rest = end != NULL ? end + 1 : NULL;
  if (end != NULL) *end = '\0';
  return word;
}

int legacy_words(int number) {
  char text[64], wanted[16];
  snprintf(text, sizeof text, "%d-a %d-b %d-c", number, number, number);
  int count = 0;
  for (char* word = next_word(text); word != NULL; word = next_word(NULL)) {
    snprintf(wanted, sizeof wanted, "%d-%c", number, 'a' + count);
    if (strcmp(word, wanted) != 0) return 0;
    ++count;
    sched_yield();
  }
  return count == 3;
}

/* libc's own globals: optarg, optind and the state of getopt() behind them. */
int legacy_options(int number) {
  char program[] = "program", name[] = "-n", value[16], other[] = "-o", more[] = "more";
  snprintf(value, sizeof value, "%d", number);
  char* arguments[] = {program, name, value, other, more, NULL};
  optind = 1;
  int right = 0;
  for (int option; (option = getopt(5, arguments, "n:o:")) != -1;) {
    sched_yield();
    if (optarg == NULL) continue;
    if (option == 'n' && optind == 3 && atoi(optarg) == number) ++right;
    if (option == 'o' && optind == 5 && strcmp(optarg, "more") == 0) ++right;
  }
  return right == 2;
}

/* A cached connection: closed and made anew if it leads to another host. */
struct connection {
  int host, open;
};
static struct connection* cached;
int legacy_connections;

int legacy_fetch(int number) {
  for (int page = 0; page < 2; ++page) {
    if (cached != NULL && cached->host != number) {
      cached->open = 0;
      free(cached);
      --legacy_connections;
      cached = NULL;
    }
    if (cached == NULL) {
      cached = calloc(1, sizeof *cached);
      ++legacy_connections;
      cached->host = number;
      cached->open = 1;
    }
    sched_yield(); /* the answer comes */
    if (cached == NULL || cached->host != number || !cached->open) return 0;
  }
  return 1;
}

void legacy_release(void* value, size_t bytes, void* argument) {
  (void)bytes, (void)argument;
  if (*(struct connection**)value != NULL) --legacy_connections;
  free(*(struct connection**)value);
  *(struct connection**)value = NULL;
}

/* The number of the last error, and a counter that names temporary files. */
int legacy_error;

int legacy_fails(int number) {
  static int calls;
  const int before = calls;
  legacy_error = number;
  ++calls;
  sched_yield();
  return legacy_error == number && calls == before + 1;
}

/* Names that are not unique, not variables, or not to be had. */
static int twice;
int legacy_twice(void) { return ++twice; }
int legacy_in_functions(int which) {
  static int in_one;
  if (which == 0) return ++in_one;
  {
    static int in_one = 100;
    return ++in_one;
  }
}
static long beside;
static int in_function(void) {
  static char beside;
  return ++beside;
}
int legacy_beside(void) { return (int)++beside + in_function(); }
const int legacy_constant = 5;
__thread int legacy_of_thread;
