// SPDX-License-Identifier: Apache-2.0
//
// A program with a runtime opens the hooks, closes them again and forks: what the hooks do at a fork must
// have gone with them. (It goes where clang built it. A library of g++ has symbols that the loader keeps for
// ever.)
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/make_scheduler.h"

int main(int, char** arguments) {
  const auto scheduler = aiofiber::runtime::make_scheduler(aiofiber::runtime::SteadyClock::instance());
  void* const hooks = dlopen(arguments[1], RTLD_NOW);
  if (hooks == nullptr) return 1;
  dlclose(hooks);
  if (dlopen(arguments[1], RTLD_NOW | RTLD_NOLOAD) != nullptr) std::puts("still here");
  const pid_t child = fork();
  if (child == 0) _exit(0);  // without what was printed, which is the parent's
  int status = -1;
  waitpid(child, &status, 0);
  std::printf("child %d\n", status);
  return 0;
}
