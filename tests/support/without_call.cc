// SPDX-License-Identifier: Apache-2.0
//
// without_call NAME[,NAME...] PROGRAM [ARGUMENT...]: runs the program, and all that it starts, without what
// the names stand for: as on an older kernel, or in a container (support/forbid.h has the names).
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "support/forbid.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: without_call NAME[,NAME...] PROGRAM [ARGUMENT...]\n");
    return 2;
  }
  for (std::string_view names = argv[1]; !names.empty();) {
    const std::string_view name = names.substr(0, names.find(','));
    names.remove_prefix(name.size() == names.size() ? name.size() : name.size() + 1);
    if (!aiofiber::hooks_test::forbid(name)) {
      std::fprintf(stderr, "without_call: cannot forbid '%.*s': an unknown name, or no seccomp\n",
                   static_cast<int>(name.size()), name.data());
      return 2;
    }
  }
  ::execvp(argv[2], argv + 2);
  std::perror(argv[2]);
  return 2;
}
