// SPDX-License-Identifier: Apache-2.0
//
// Tests whether fgets suspends the task. One task reads a line, another sends it afterwards, on one thread.
// If fgets blocks the thread, it fails after the socket's time limit. Prints "suspended" or "blocked". With
// the word "call" the program enables stdio itself, otherwise the environment does. With "spoil" other code
// has replaced an operation inside libc before.
#include <aiofiber/asyncio.h>
#include <aiofiber/hooks.h>

#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#ifdef STDIO_GLIBC_VERSION
// The hooks ask for it by its name, and the program's comes first.
extern "C" const char* gnu_get_libc_version() noexcept { return STDIO_GLIBC_VERSION; }
#endif

namespace {

const char* read_a_line() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) std::abort();
  const timeval limit{0, 500'000};
  setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  FILE* const file = fdopen(pair[0], "r");
  const bool read = asyncio::run([&] {
    auto reader = asyncio::create_task([&] {
      char line[16] = {};
      return fgets(line, sizeof line, file) != nullptr && std::strcmp(line, "line\n") == 0;
    });
    auto sender = asyncio::create_task([&] {
      if (write(pair[1], "line\n", 5) != 5) std::abort();
    });
    const bool result = asyncio::await(reader);
    asyncio::await(sender);
    return result;
  });
  fclose(file);
  close(pair[1]);
  return read ? "suspended" : "blocked";
}

int (*original_sync)(FILE*);
int somebody_elses_sync(FILE* file) { return original_sync(file); }

void spoil() {
  constexpr unsigned kSync = 12;
  auto* const table = static_cast<void**>(dlsym(RTLD_DEFAULT, "_IO_file_jumps"));
  auto* const page =
      reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(table + kSync) & ~std::uintptr_t{4095});
  if (mprotect(page, 4096, PROT_READ | PROT_WRITE) != 0) std::abort();
  original_sync = reinterpret_cast<int (*)(FILE*)>(table[kSync]);
  table[kSync] = reinterpret_cast<void*>(&somebody_elses_sync);
}

}  // namespace

int main(int argc, char** argv) {
  const auto wants = [&](const char* word) { return argc > 1 && std::strcmp(argv[1], word) == 0; };
  if (wants("spoil")) spoil();
  if (wants("call") || wants("spoil")) std::printf("%s\n", aiofiber::hooks::enable_stdio() ? "on" : "off");
  std::printf("%s\n", read_a_line());
}
