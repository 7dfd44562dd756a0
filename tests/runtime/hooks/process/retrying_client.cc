// SPDX-License-Identifier: Apache-2.0
//
// The client's tries. No frame of it has anything to do for an exception.
#include "retrying_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace {

int ask(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<in_port_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) return -1;
  char answer = 0;
  ssize_t got = -1;
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) got = ::read(fd, &answer, 1);
  ::close(fd);
  return got == 1 ? 0 : -1;
}

}  // namespace

void ask_until_answered(int port) {
  while (ask(port) != 0) {
    std::fprintf(stderr, "failed: %s\n", std::strerror(errno));
    ::sleep(1);
  }
}
