// SPDX-License-Identifier: Apache-2.0
//
// The same without <iostream>: with libstdc++ 12 nothing but the library's own start is left.
#include <string>

#include "hello.h"

int main(int count, char**) {
  if (count > 1000) throw std::string("too many arguments");
  hello();
}
