// SPDX-License-Identifier: Apache-2.0
//
// Tests whether a library's blocking call suspends the task. One task receives through the client library,
// another task sends afterwards, on one thread. If the call blocks the thread, the sender cannot run, and the
// call fails after its time limit. Prints "suspended" or "blocked", for the library of the link line and for
// the same code opened with dlopen(). It is compiled twice: as a program, and as a library for a program that
// has only a main().
#include <aiofiber/asyncio.h>

#include <dlfcn.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

extern "C" ssize_t client_receive(int fd, char* byte);

namespace {

using Receive = ssize_t (*)(int, char*);

bool receive_suspends(Receive receive) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) std::abort();
  const timeval limit{0, 500'000};
  setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  const bool received = asyncio::run([&] {
    asyncio::Task<bool> receiver = asyncio::create_task([&] {
      char byte = 0;
      return receive(pair[0], &byte) == 1 && byte == 'x';
    });
    asyncio::Task<void> sender = asyncio::create_task([&] {
      if (write(pair[1], "x", 1) != 1) std::abort();
    });
    const bool result = asyncio::await(receiver);
    asyncio::await(sender);
    return result;
  });
  close(pair[0]);
  close(pair[1]);
  return received;
}

const char* word(bool suspends) { return suspends ? "suspended" : "blocked"; }

}  // namespace

extern "C" int deployment_main(const char* plugin, int dlopen_flags) {
  std::printf("linked %s\n", word(receive_suspends(&client_receive)));
  void* library = dlopen(plugin, RTLD_NOW | dlopen_flags);
  const auto receive =
      library != nullptr ? reinterpret_cast<Receive>(dlsym(library, "client_receive")) : nullptr;
  if (receive == nullptr) {
    std::printf("dlopen: %s\n", dlerror());
    return 1;
  }
  std::printf("opened %s\n", word(receive_suspends(receive)));
  return 0;
}
