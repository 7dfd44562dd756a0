// SPDX-License-Identifier: Apache-2.0
//
// Function-local statics with libstdc++ linked statically: the hooks then provide the guards. Threads race
// for one.
#include <pthread.h>
#include <unistd.h>

#include <cstdio>

namespace {

int made = 0;

struct Slow {
  Slow() {
    usleep(20'000);
    ++made;
  }
};

void* use(void*) {
  static Slow slow;
  return &slow;
}

}  // namespace

int main() {
  pthread_t threads[4];
  for (pthread_t& thread : threads) pthread_create(&thread, nullptr, use, nullptr);
  for (pthread_t& thread : threads) pthread_join(thread, nullptr);
  use(nullptr);
  std::printf("made %d\n", made);
}
