// SPDX-License-Identifier: Apache-2.0
//
// A program that links aiofiber::instrumented but was not compiled for it. It runs one task.
//
// alone_test.cc runs it.
#include "support/fiber_loop.h"

int main() {
  aiofiber::runtime::Loop loop;
  loop.spawn([] {});
  loop.run();
  return 0;
}
