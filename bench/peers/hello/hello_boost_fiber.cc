// SPDX-License-Identifier: Apache-2.0
//
// The smallest program of Boost.Fiber.
#include <boost/fiber/all.hpp>

#include "hello.h"

int main() { boost::fibers::fiber(say_hello).join(); }
