// SPDX-License-Identifier: Apache-2.0
//
// No runtime: what a C++ program with its standard library costs anyway.
#include <iostream>  // links the standard library

#include "hello.h"

int main() { say_hello(); }
