// SPDX-License-Identifier: Apache-2.0
//
// memcached refuses to run as root.
#include <signal.h>

#include "servers/servers.h"

namespace aiofiber::clients_test {

MemcachedServer::MemcachedServer() : Server("memcached") {}

Program MemcachedServer::program() const {
  return {{find_program("/usr/bin/memcached", "memcached"), "-l", "127.0.0.1", "-p", std::to_string(port()),
           "-U", "0"},
          "memcache",
          {},
          SIGTERM};
}

bool MemcachedServer::answers() const { return ask(port(), "version\r\n", 7).starts_with("VERSION"); }

}  // namespace aiofiber::clients_test
