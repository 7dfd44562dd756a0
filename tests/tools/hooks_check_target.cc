// SPDX-License-Identifier: Apache-2.0
//
// A program with hooks that opens the given library, with RTLD_DEEPBIND if a second word says so, and then
// waits.
#include <dlfcn.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc < 2 || dlopen(argv[1], RTLD_NOW | (argc > 2 ? RTLD_DEEPBIND : 0)) == nullptr) return 1;
  if (write(STDOUT_FILENO, "ready\n", 6) != 6) return 1;
  for (;;) pause();
}
