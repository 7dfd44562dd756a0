// SPDX-License-Identifier: Apache-2.0
//
// ECHO, and the wait for an element of a list that stays empty.
#include <hiredis/hiredis.h>

#include <string>

#include "calls/client_calls.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

class HiredisConnection : public KeptConnection {
 public:
  explicit HiredisConnection(int port) : connection_(redisConnect("127.0.0.1", port), &redisFree) {}
  std::string ask(int number, int seconds) override {
    if (connection_ == nullptr) return {};
    const std::string command =
        seconds > 0 ? "BLPOP nobody-fills-this " + std::to_string(seconds) : "ECHO " + std::to_string(number);
    auto* reply = static_cast<redisReply*>(redisCommand(connection_.get(), command.c_str()));
    if (reply == nullptr) return {};
    const std::string text = reply->str == nullptr ? "nothing" : std::string(reply->str, reply->len);
    freeReplyObject(reply);
    return text;
  }

 private:
  std::unique_ptr<redisContext, decltype(&redisFree)> connection_;
};

class HiredisCalls : public ClientCalls {
 public:
  const char* name() const override { return "hiredis"; }
  const char* functions() const override { return "`redisConnect`, `redisCommand`"; }
  Server& server() override { return clients_test::server<RedisServer>(); }
  std::unique_ptr<KeptConnection> connect(int port) override {
    return std::make_unique<HiredisConnection>(port);
  }
};

}  // namespace

std::unique_ptr<ClientCalls> hiredis_calls() { return std::make_unique<HiredisCalls>(); }

}  // namespace aiofiber::clients_test
