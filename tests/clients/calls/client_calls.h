// SPDX-License-Identifier: Apache-2.0
//
// Every client library behind the same three calls, so that one test can put all of them through the same
// faults. A call is what a program in blocking style writes: it connects, sends a request, checks the answer,
// closes. It does not know tasks.
//
// The port is an argument because a test may put a Proxy between client and server. Calls never throw: they
// return false for every error of the library, so a caller cannot confuse an error with a cancellation.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "servers/servers.h"

namespace aiofiber::clients_test {

// One connection (or what the library makes of it: a session, a handle, a pool of one), asked again and
// again.
class KeptConnection {
 public:
  virtual ~KeptConnection() = default;
  // Asks for the number, which the server gives after so many seconds. Empty: the library reports an error.
  virtual std::string ask(int number, int seconds) = 0;
};

class ClientCalls {
 public:
  virtual ~ClientCalls() = default;
  virtual const char* name() const = 0;
  virtual const char* functions() const = 0;  // those of the library in which tasks wait, for the table
  virtual Server& server() = 0;               // not started before it is asked for
  virtual int port() { return server().port(); }

  // Null if there is no connection to be had.
  virtual std::unique_ptr<KeptConnection> connect(int port) = 0;

  // One small exchange; true if the answer was right.
  virtual bool quick(int port) { return ask_once(port, 0) == "42"; }
  // Asks for an answer that does not come for an hour; returns when that has failed. False if the server has
  // no such request: then a proxy must keep the answer of quick() back.
  virtual bool waits_for_ever() const { return true; }
  virtual void never(int port) { ask_once(port, 3600); }

 private:
  std::string ask_once(int port, int seconds) {
    const std::unique_ptr<KeptConnection> connection = connect(port);
    return connection == nullptr ? std::string() : connection->ask(42, seconds);
  }
};

std::unique_ptr<ClientCalls> libpq_calls();
std::unique_ptr<ClientCalls> hiredis_calls();
std::unique_ptr<ClientCalls> libcurl_calls(bool tls);
std::unique_ptr<ClientCalls> libmariadb_calls();
std::unique_ptr<ClientCalls> libmemcached_calls();
std::unique_ptr<ClientCalls> libssh2_calls();
std::unique_ptr<ClientCalls> openssl_calls();
std::unique_ptr<ClientCalls> iostream_calls();
std::unique_ptr<ClientCalls> libpqxx_calls();
std::unique_ptr<ClientCalls> soci_calls();
std::unique_ptr<ClientCalls> psqlodbc_calls();
std::unique_ptr<ClientCalls> thrift_calls();

}  // namespace aiofiber::clients_test
