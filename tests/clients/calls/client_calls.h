// SPDX-License-Identifier: Apache-2.0
//
// Every client library behind the same three calls, so that one test can put all of them through the same troubles. A call
// is what a program in blocking style writes: it connects, asks, checks the answer, closes; it knows nothing of tasks.
//
// The port is an argument because a test may put a Proxy between client and server. Calls never throw: false is whatever
// the library reports as an error, so a caller cannot mistake one for a cancellation.
#pragma once

#include <memory>
#include <vector>

#include "servers/servers.h"

namespace aiofiber::clients_test {

class ClientCalls {
 public:
  virtual ~ClientCalls() = default;
  virtual const char* name() const = 0;
  virtual const char* functions() const = 0;  // those of the library in which tasks wait, for the table
  virtual Server& server() = 0;               // not started before it is asked for
  virtual int port() { return server().port(); }

  // One small exchange; true if the answer was right.
  virtual bool quick(int port) = 0;
  // Asks for an answer that does not come for an hour; returns when that has failed. False if the server has no such
  // request: then a proxy must keep the answer of quick() back.
  virtual bool waits_for_ever() const { return true; }
  virtual void never(int port) = 0;
};

std::unique_ptr<ClientCalls> libpq_calls();
std::unique_ptr<ClientCalls> hiredis_calls();
std::unique_ptr<ClientCalls> libcurl_calls(bool tls);
std::unique_ptr<ClientCalls> libmariadb_calls();
std::unique_ptr<ClientCalls> libmemcached_calls();
std::unique_ptr<ClientCalls> libssh2_calls();
std::unique_ptr<ClientCalls> openssl_calls();
std::unique_ptr<ClientCalls> iostream_calls();

}  // namespace aiofiber::clients_test
