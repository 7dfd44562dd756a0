// SPDX-License-Identifier: Apache-2.0
//
// Prints the table of hooked names as this compiler sees it, one "file name" a line: what the test
// hooked_names compares with the object files. Its argument may be a fault that the test has to see: `more`
// adds a name that is defined nowhere, `less` leaves recv out, `moved` says that recv is in another file.
#include <cstdio>
#include <string_view>

#include "aiofiber/runtime/arch/arch.h"
#include "hooks/core/abseil.h"

int main(int count, char** arguments) {
  const std::string_view fault = count > 1 ? arguments[1] : "";
  const char* place = "";
  const auto print = [&](std::string_view name) {
    const bool spoilt = name == "recv";
    if (spoilt && fault == "less") return;
    std::printf("%s %s\n", spoilt && fault == "moved" ? "net/epoll.cc" : place, name.data());
    if (spoilt && fault == "more") std::printf("%s recv_more\n", place);
  };
#define HOOKS_IN(file, text) place = file;
#define HOOKED_NAME(when, name) print(name);
#define OWN_NAME(name) print(#name);
#include "hooks/core/hooked_names.inc"
  return 0;
}
