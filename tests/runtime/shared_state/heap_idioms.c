// SPDX-License-Identifier: Apache-2.0
//
// C code with its state on the heap. See heap_idioms.h.
#define _GNU_SOURCE
#include "heap_idioms.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// ---- a connection

struct connection {
  char host[24];
  int descriptor;
};
static struct connection* connection;

int fetch_by_allocated_connection(int server) {
  if (connection == NULL) connection = malloc(sizeof *connection);
  connection->descriptor = 100 + server;
  usleep(1000);
  return connection->descriptor == 100 + server;
}

// ---- a list

struct entry {
  struct entry* next;
  int key, value;
};
static struct {
  int length;
  struct entry* first;
} list;

static struct entry* entry_for(int key) {
  for (struct entry* entry = list.first; entry != NULL; entry = entry->next) {
    if (entry->key == key) return entry;
  }
  struct entry* made = calloc(1, sizeof *made);
  made->key = key;
  struct entry** last = &list.first;
  while (*last != NULL) last = &(*last)->next;
  *last = made;
  ++list.length;
  return made;
}

int store_in_list(int key, int value) {
  entry_for(1);
  struct entry* entry = entry_for(key);
  entry->value = value;
  usleep(1000);
  return entry->value == value;
}

// ---- buffers

static char* text;

int answer_in_buffer(int number) {
  if (text == NULL) text = malloc(64);
  snprintf(text, 64, "answer %d", number);
  usleep(1000);
  return atoi(strchr(text, ' '));
}

static char* input;

int receive_in_buffer(int fd) {
  if (input == NULL) input = malloc(64);
  if (read(fd, input, 64) < 1) return -1;
  usleep(1000);
  return input[0];
}

static char* output;

int send_from_buffer(int fd, int number) {
  if (output == NULL) output = malloc(64);
  memset(output, number, 64);
  usleep(1000);
  return write(fd, output, 64) == 64;
}

static char* growing;
static size_t room;

int fill_growing_buffer(int number) {
  for (size_t needed = 16; needed <= 4096; needed *= 2) {
    if (needed > room) growing = realloc(growing, room = needed);
    growing[needed - 1] = (char)number;
  }
  usleep(1000);
  return growing[4095] == number;
}

// ---- a counter

static struct {
  int bytes, requests;
}* counts;

int count_on_heap(int rounds) {
  if (counts == NULL) counts = calloc(1, sizeof *counts);
  for (int i = 0; i < rounds; ++i) {
    counts->bytes += i;
    usleep(1000);
  }
  int before = counts->requests;
  usleep(1000);
  counts->requests = before + 1;
  return counts->requests;
}

// ---- libc's own statics

int sum_by_strtok(char* words) {
  int sum = 0;
  for (char* word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
    usleep(1000);
    sum += atoi(word);
  }
  return sum;
}

int year_of(long seconds) {
  time_t moment = seconds;
  struct tm* date = gmtime(&moment);
  usleep(1000);
  return date->tm_year + 1900;
}

// ---- right

static int* last_result;  // so that a static leads to all of them

int work_on_own_block(int number) {
  int sum = 0;
  for (int i = 0; i < 20; ++i) {
    int* own = malloc(sizeof *own);
    *own = number * 100 + i;
    last_result = own;
    usleep(1000);
    sum += *own == number * 100 + i;
    free(own);
  }
  last_result = NULL;
  return sum;
}

int work_on_handed_block(int number, int* shared) {
  *shared = number;
  usleep(1000);
  return *shared;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int* guarded;

int work_under_mutex(int number) {
  pthread_mutex_lock(&lock);
  if (guarded == NULL) guarded = malloc(sizeof *guarded);
  *guarded = number;
  pthread_mutex_unlock(&lock);
  usleep(1000);
  pthread_mutex_lock(&lock);
  int seen = *guarded;
  pthread_mutex_unlock(&lock);
  return seen;
}

int work_on_zeroed_block(int number) {
  int sum = 0;
  for (int i = 0; i < 10; ++i) {
    int* own = calloc(4, sizeof *own);  // the block that the other task has just given back
    last_result = own;
    sum += own[0];
    own[0] = number;
    free(own);
    usleep(1000);
  }
  last_result = NULL;
  return sum;
}

static char* current;

int swap_blocks(int number) {
  for (int i = 0; i < 10; ++i) {
    char* next = malloc(32);
    snprintf(next, 32, "%d", number);
    free(current);
    current = next;
    if (atoi(current) != number) return 0;
    usleep(1000);
  }
  return 1;
}
