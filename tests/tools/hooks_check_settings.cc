// SPDX-License-Identifier: Apache-2.0
//
// A library that reads only its settings, from files that it opens by name and finds in a folder.
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
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

extern "C" int settings_count(const char* folder) {
  struct stat status {};
  if (::stat(folder, &status) != 0) return -1;
  dirent** entries = nullptr;
  return ::scandir(folder, &entries, nullptr, nullptr);
}
