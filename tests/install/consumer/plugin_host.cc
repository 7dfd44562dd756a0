// SPDX-License-Identifier: Apache-2.0
//
// Opens the plugin given as its argument, and runs it in a task.
#include <aiofiber/asyncio.h>
#include <dlfcn.h>

#include <cstdio>

int main(int, char** arguments) {
  void* const plugin = dlopen(arguments[1], RTLD_NOW);
  if (plugin == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  using Run = void (*)(void (*)(asyncio::Duration));
  const Run run = reinterpret_cast<Run>(dlsym(plugin, "run_plugin"));
  asyncio::run([run] { run([](asyncio::Duration delay) { asyncio::await(asyncio::sleep(delay)); }); });
}
