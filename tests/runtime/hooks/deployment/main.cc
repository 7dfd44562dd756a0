// SPDX-License-Identifier: Apache-2.0
//
// program PLUGIN [deepbind]
#include <dlfcn.h>

#include <cstring>

extern "C" int deployment_main(const char* plugin, int dlopen_flags);

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  return deployment_main(argv[1], argc > 2 && std::strcmp(argv[2], "deepbind") == 0 ? RTLD_DEEPBIND : 0);
}
