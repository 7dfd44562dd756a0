// SPDX-License-Identifier: Apache-2.0
//
// A program that links aiofiber::instrumented, and with it by mistake the library of a sanitizer. It must not
// get as far as main().
//
// alone_test.cc runs it.
#include <cstdio>

int main() {
  std::puts("main runs");
  return 0;
}
