// SPDX-License-Identifier: Apache-2.0
//
// Starts the server of thrift_server.cc, whose program is in the folder of the tests.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <climits>
#include <string>

#include "servers/server.h"

namespace aiofiber::clients_test {

class ThriftServer : public Server {
 public:
  ThriftServer() : Server("thrift") {}
  ~ThriftServer() override { stop(); }

 protected:
  Program program() const override {
    char self[PATH_MAX];
    const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self);
    const std::string path(self, length > 0 ? static_cast<std::size_t>(length) : 0);
    return {{path.substr(0, path.rfind('/')) + "/thrift_server", std::to_string(port())}, {}, {}, SIGTERM};
  }
  // A call of "ask" with its number, 7, and no delay.
  bool answers() const override {
    using namespace std::string_literals;
    return ask(port(),
               "\x80\x01\0\x01\0\0\0\x03"
               "ask"
               "\0\0\0\x07"
               "\0\0\0\x07"
               "\0\0\0\0"s,
               4)
        .starts_with("\x80\x01\0\x02"s);
  }
};

}  // namespace aiofiber::clients_test
