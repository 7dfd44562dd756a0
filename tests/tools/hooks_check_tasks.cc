// SPDX-License-Identifier: Apache-2.0
//
// A program with tasks, and aiofiber in it: functions of aiofiber that suspend the caller, and some that do
// not.
#include <sys/socket.h>

#include <chrono>
#include <string>

#include "aiofiber/asyncio.h"

#define SEPARATE extern "C" __attribute__((noinline))

namespace {
int hooked;
int asleep;
int called_soon;
std::string named;
}  // namespace

SEPARATE long receive(int fd) {
  hooked = fd;
  char byte = 0;
  return ::recv(fd, &byte, 1, 0) + hooked;
}

SEPARATE int sleep_a_while(int number) {
  asleep = number;
  aiofiber::await(aiofiber::sleep(std::chrono::milliseconds(number)));
  return asleep;
}

SEPARATE int call_soon(int number) {
  called_soon = number;
  aiofiber::get_running_loop().call_soon([] { ++called_soon; });
  return called_soon;
}

int main(int argc, char**) {
  long sum = 0;
  aiofiber::run([&] { sum = receive(argc) + sleep_a_while(argc) + call_soon(argc); });
  return static_cast<int>(sum);
}
