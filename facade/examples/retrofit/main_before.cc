// SPDX-License-Identifier: Apache-2.0
//
// Prints the report, one customer after the other.
#include <iostream>
#include <string>
#include <vector>

#include "report.h"

int main(int argc, char** argv) {
  const Settings settings = settings_from(argc, argv);
  Report report(settings);
  std::vector<std::string> lines;
  for (int customer = 1; customer <= settings.customers; ++customer) {
    lines.push_back(report.line_about(customer));
  }
  for (const std::string& line : lines) std::cout << line << '\n';
}
