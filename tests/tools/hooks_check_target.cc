// SPDX-License-Identifier: Apache-2.0
//
// A program with hooks that opens the given library, with RTLD_DEEPBIND if a second word says so, and then
// waits. With a third word it maps the library's file whole, too, as readers of symbols do.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>

namespace {

bool map_whole(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat file {};
  return fd != -1 && fstat(fd, &file) == 0 &&
         mmap(nullptr, static_cast<std::size_t>(file.st_size), PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || dlopen(argv[1], RTLD_NOW | (argc > 2 ? RTLD_DEEPBIND : 0)) == nullptr) return 1;
  if (argc > 3 && !map_whole(argv[1])) return 1;
  if (write(STDOUT_FILENO, "ready\n", 6) != 6) return 1;
  for (;;) pause();
}
