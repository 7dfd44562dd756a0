// SPDX-License-Identifier: Apache-2.0
//
// A library that reads nothing but its settings, from a file that it opens by name.
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" int settings_read(const char* name) {
  FILE* const file = ::fopen(name, "re");
  if (file == nullptr) return static_cast<int>(::syscall(SYS_getpid));
  char line[80];
  const int known = ::fgets(line, sizeof line, file) != nullptr;
  ::fclose(file);
  return known;
}
