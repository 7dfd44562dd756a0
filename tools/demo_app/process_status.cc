// SPDX-License-Identifier: Apache-2.0
//
// One line of a file of /proc/self.
#include "process_status.h"

#include <cstdlib>
#include <fstream>
#include <string>

namespace demo {

namespace {

long number_after(const char* file, std::string_view name) {
  std::ifstream status(file);
  for (std::string line; std::getline(status, line);) {
    if (line.size() > name.size() && line[name.size()] == ':' && line.compare(0, name.size(), name) == 0) {
      return std::strtol(line.c_str() + name.size() + 1, nullptr, 10);
    }
  }
  return 0;
}

}  // namespace

long process_status(std::string_view name) { return number_after("/proc/self/status", name); }

long resident_kib() { return number_after("/proc/self/smaps_rollup", "Rss"); }

}  // namespace demo
