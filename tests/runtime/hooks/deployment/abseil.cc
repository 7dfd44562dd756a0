// SPDX-License-Identifier: Apache-2.0
//
// Tests whether a lock of abseil in a library suspends the task: one task waits, another one of the thread
// notifies afterwards. Prints "suspended" or "blocked", for the library of the link line, if there is one,
// and for the same code opened with dlopen().
#include <aiofiber/asyncio.h>

#include <dlfcn.h>

#include <cstdio>
#include <cstring>

extern "C" [[gnu::weak]] bool abseil_wait();
extern "C" [[gnu::weak]] void abseil_notify();

namespace {

void print(const char* which, bool (*wait)(), void (*notify)()) {
  const bool suspended = asyncio::run([&] {
    asyncio::Task<bool> waiter = asyncio::create_task(wait);
    asyncio::Task<void> notifier = asyncio::create_task(notify);
    const bool notified = asyncio::await(waiter);
    asyncio::await(notifier);
    return notified;
  });
  std::printf("%s %s\n", which, suspended ? "suspended" : "blocked");
}

}  // namespace

int main(int argc, char** argv) {
  if (abseil_wait != nullptr) print("linked", abseil_wait, abseil_notify);
  if (argc < 2) return 0;
  const int deepbind = argc > 2 && std::strcmp(argv[2], "deepbind") == 0 ? RTLD_DEEPBIND : 0;
  void* library = dlopen(argv[1], RTLD_NOW | deepbind);
  if (library == nullptr) {
    std::printf("dlopen: %s\n", dlerror());
    return 1;
  }
  print("opened", reinterpret_cast<bool (*)()>(dlsym(library, "abseil_wait")),
        reinterpret_cast<void (*)()>(dlsym(library, "abseil_notify")));
  return 0;
}
