// SPDX-License-Identifier: Apache-2.0
//
// One line of /proc/self/status.
#include "process_status.h"

#include <cstdlib>
#include <fstream>
#include <string>

namespace demo {

long process_status(std::string_view name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.size() > name.size() && line[name.size()] == ':' && line.compare(0, name.size(), name) == 0) {
      return std::strtol(line.c_str() + name.size() + 1, nullptr, 10);
    }
  }
  return 0;
}

}  // namespace demo
