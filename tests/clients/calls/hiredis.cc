// SPDX-License-Identifier: Apache-2.0
//
// PING, and the wait for an element of a list that nobody fills.
#include <hiredis/hiredis.h>

#include <string>

#include "calls/client_calls.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

class HiredisCalls : public ClientCalls {
 public:
  const char* name() const override { return "hiredis"; }
  const char* functions() const override { return "`redisConnect`, `redisCommand`"; }
  Server& server() override { return clients_test::server<RedisServer>(); }
  bool quick(int port) override { return ask(port, "PING") == "PONG"; }
  void never(int port) override { ask(port, "BLPOP nobody-fills-this 0"); }

 private:
  static std::string ask(int port, const char* command) {
    const std::unique_ptr<redisContext, decltype(&redisFree)> connection(redisConnect("127.0.0.1", port), &redisFree);
    if (connection == nullptr || connection->err != 0) return {};
    auto* reply = static_cast<redisReply*>(redisCommand(connection.get(), command));
    if (reply == nullptr) return {};
    const std::string text = reply->str == nullptr ? std::string() : std::string(reply->str, reply->len);
    freeReplyObject(reply);
    return text;
  }
};

}  // namespace

std::unique_ptr<ClientCalls> hiredis_calls() { return std::make_unique<HiredisCalls>(); }

}  // namespace aiofiber::clients_test
