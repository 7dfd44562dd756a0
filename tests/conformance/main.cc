// SPDX-License-Identifier: Apache-2.0
//
// conformance NAME      runs one scenario and prints its trace
// conformance --list    prints the names of all
//
// A scenario that hangs on the virtual clock ends the process with status 3 (TestLoop says DEADLOCK).
#include <cstdio>
#include <string_view>

#include "conf.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: conformance NAME | --list\n");
    return 2;
  }
  const std::string_view wanted = argv[1];
  if (wanted == "--list") {
    for (const auto& [name, body] : conf::scenarios()) std::printf("%s\n", name.c_str());
    return 0;
  }
  for (const auto& [name, body] : conf::scenarios()) {
    if (name != wanted) continue;
    try {
      body();
    } catch (...) {
      std::printf("*** the scenario threw %s\n", conf::exc().c_str());
      return 1;
    }
    conf::drop_loops();
    return 0;
  }
  std::fprintf(stderr, "no scenario named %s\n", argv[1]);
  return 2;
}
