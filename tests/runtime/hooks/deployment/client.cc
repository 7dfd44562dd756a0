// SPDX-License-Identifier: Apache-2.0
//
// A client library that knows nothing of aiofiber: a shared one, so its calls are bound by the loader.
#include <sys/socket.h>
#include <sys/types.h>

extern "C" ssize_t client_receive(int fd, char* byte) { return ::recv(fd, byte, 1, 0); }
