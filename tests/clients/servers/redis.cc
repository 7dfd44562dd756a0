// SPDX-License-Identifier: Apache-2.0
//
// Redis runs as any user, and stores nothing on the disk here.
#include <signal.h>

#include "servers/servers.h"

namespace aiofiber::clients_test {

RedisServer::RedisServer() : Server("redis") {}

Program RedisServer::program() const {
  return {{find_program("/usr/bin/redis-server", "redis-server"), "--bind", "127.0.0.1", "--port",
           std::to_string(port()), "--unixsocket", unix_socket(), "--save", "", "--appendonly", "no", "--dir",
           folder()},
          {},
          {},
          SIGTERM};
}

bool RedisServer::answers() const { return ask(port(), "PING\r\n", 5).starts_with("+PONG"); }

}  // namespace aiofiber::clients_test
