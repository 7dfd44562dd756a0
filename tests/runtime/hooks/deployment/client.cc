// SPDX-License-Identifier: Apache-2.0
//
// A client library that does not know aiofiber. It is shared, so the loader binds its calls.
#include <sys/socket.h>
#include <sys/types.h>

extern "C" ssize_t client_receive(int fd, char* byte) { return ::recv(fd, byte, 1, 0); }
