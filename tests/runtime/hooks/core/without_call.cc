// SPDX-License-Identifier: Apache-2.0
//
// without_call NAME PROGRAM [ARGUMENT...]: runs the program with the system call NAME forbidden.
#include <unistd.h>

#include <cstdio>

#include "support/forbid.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: without_call NAME PROGRAM [ARGUMENT...]\n");
    return 2;
  }
  if (!aiofiber::hooks_test::forbid_system_call(argv[1])) {
    std::fprintf(stderr, "without_call: cannot forbid %s: an unknown name, or no seccomp\n", argv[1]);
    return 2;
  }
  ::execv(argv[2], argv + 2);
  std::perror(argv[2]);
  return 2;
}
