// SPDX-License-Identifier: Apache-2.0
//
// The yardstick: a program in C++ that prints a line, with <iostream>, as one writes it.
#include <iostream>
#include <string>

#include "hello.h"

int main() {
  if (std::cout.fail()) throw std::string("stdout cannot be written");
  hello();
}
