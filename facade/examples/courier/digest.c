// SPDX-License-Identifier: Apache-2.0
//
// The library of digest.h, in the way of libraries that were made safe for threads long ago: the state is
// found by a key, so each thread has its own.
#include "digest.h"

#include <pthread.h>
#include <stdlib.h>

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_key(void) {
  if (pthread_key_create(&key, free) != 0) abort();
}

static uint32_t* state(void) {
  pthread_once(&once, make_key);
  uint32_t* found = pthread_getspecific(key);
  if (found == NULL) {
    found = malloc(sizeof *found);
    if (found == NULL || pthread_setspecific(key, found) != 0) abort();
  }
  return found;
}

void digest_begin(void) { *state() = 2166136261u; }

void digest_add(const void* data, size_t bytes) {
  uint32_t* const sum = state();
  for (size_t i = 0; i < bytes; ++i) *sum = (*sum ^ ((const unsigned char*)data)[i]) * 16777619u;
}

uint32_t digest_value(void) { return *state(); }
