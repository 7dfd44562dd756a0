// SPDX-License-Identifier: Apache-2.0
//
// A bad network between a client and its server: a port of 127.0.0.1 that passes all data on to another port,
// with a fault.
//
// It is an aiofiber program itself: a thread with a loop, a task for each direction, written with the
// blocking calls that it helps to test. The destructor ends its connections.
#pragma once

#include <thread>

#include "listening_socket.h"

namespace aiofiber::clients_test {

enum class Network {
  BYTE_BY_BYTE,  // each byte a segment of its own
  SLOW,          // each piece is 20 ms late
  LATE,          // what the server says is a second late
  MUTE,          // what the server says is read and forgotten
};

class Proxy {
 public:
  Proxy(Network network, int server_port);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;
  int port() const { return listener_.port(); }

 private:
  void serve();
  void connect_through(int accepted);

  Network network_;
  int server_port_;
  ListeningSocket listener_;
  std::thread thread_;  // last: it uses the rest
};

}  // namespace aiofiber::clients_test
