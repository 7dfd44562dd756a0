// SPDX-License-Identifier: Apache-2.0
//
// The smallest program of State Threads.
#include <st.h>

#include "hello.h"

int main() {
  st_init();
  st_thread_join(st_thread_create([](void*) -> void* { say_hello(); }, nullptr, 1, 64 * 1024), nullptr);
}
