// SPDX-License-Identifier: Apache-2.0
//
// Tests whether throws are recorded as the program requests, by any copy of the recorder. It throws in the
// program and inside libstdc++, with tracing on and off, and prints "on 2;off 0" if all agree: the numbers of
// throws with a trace. It is compiled as a program, and as a library that calls its own copy
// (-Bsymbolic-functions) while libstdc++ calls the first one.
#include <aiofiber/runtime/inspect/throw_trace.h>

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <vector>

namespace runtime = aiofiber::runtime;

namespace {

template <class Throw>
bool is_traced(Throw throw_now) {
  try {
    throw_now();
  } catch (...) {
    return !runtime::throw_trace(std::current_exception()).empty();
  }
  return false;
}

int traced_throws() {
  int traced = is_traced([] { throw std::runtime_error("the program's"); });
  return traced + is_traced([] { static_cast<void>(std::vector<int>().at(1)); });
}

}  // namespace

extern "C" void report_throws() {
  std::printf("on %d\n", traced_throws());
  runtime::set_throw_tracing(false);
  std::printf("off %d\n", traced_throws());
}

#ifdef THROW_TRACING_PROGRAM
int main() { report_throws(); }
#endif
