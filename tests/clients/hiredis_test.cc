// SPDX-License-Identifier: Apache-2.0
//
// hiredis, the C client of Redis, in tasks.
#include <hiredis/hiredis.h>

#include <memory>

#include "client_test.h"
#include "servers/servers.h"

namespace aiofiber::clients_test {
namespace {

class Hiredis : public ClientTest<RedisServer> {};

using Connection = std::unique_ptr<redisContext, decltype(&redisFree)>;

Connection checked(redisContext* context) {
  Connection connection(context, &redisFree);
  if (context == nullptr || context->err != 0)
    throw std::runtime_error(context == nullptr ? "no memory" : context->errstr);
  return connection;
}
Connection connect() { return checked(redisConnect("127.0.0.1", server<RedisServer>().port())); }

struct Reply {
  explicit Reply(void* reply) : value(static_cast<redisReply*>(reply)) {}
  ~Reply() {
    if (value != nullptr) freeReplyObject(value);
  }
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;
  bool is(int type) const { return value != nullptr && value->type == type; }
  std::string text() const {
    return value == nullptr || value->str == nullptr ? "" : std::string(value->str, value->len);
  }
  redisReply* value;
};

// 100 tasks wait for an element of their own list each; one more gives it to them after a second.
void expect_a_hundred_pops(const std::function<Connection()>& connect_to) {
  EXPECT_OVERLAPPING(101, concurrently(101, [&](int i) {
                       const Connection connection = connect_to();
                       if (i == 100) {
                         asyncio::await(asyncio::sleep(1s));
                         for (int k = 0; k < 100; ++k)
                           Reply(redisCommand(connection.get(), "LPUSH list%d value%d", k, k));
                         return true;
                       }
                       const Reply reply(redisCommand(connection.get(), "BLPOP list%d 10", i));
                       return reply.is(REDIS_REPLY_ARRAY) &&
                              reply.value->element[1]->str == "value" + std::to_string(i);
                     }));
}

TEST_F(Hiredis, WaitsForAHundredListsAtOnceOverTcp) {
  expect_a_hundred_pops([] { return connect(); });
}

TEST_F(Hiredis, WaitsForAHundredListsAtOnceOverUnixSockets) {
  const std::string path = server<RedisServer>().unix_socket();
  expect_a_hundred_pops([&] { return checked(redisConnectUnix(path.c_str())); });
}

TEST_F(Hiredis, MovesValuesOfFourMegabytes) {
  EXPECT_ALL(8, concurrently(8, [](int i) {
               const Connection connection = connect();
               const std::string value(4'000'000, static_cast<char>('a' + i));
               Reply(redisCommand(connection.get(), "SET big%d %b", i, value.data(), value.size()));
               return Reply(redisCommand(connection.get(), "GET big%d", i)).text() == value;
             }));
}

TEST_F(Hiredis, KeepsItsOwnTimeout) {
  const Concurrently outcome = concurrently(50, [](int) {
    const Connection connection = connect();
    redisSetTimeout(connection.get(), timeval{0, 300'000});
    return Reply(redisCommand(connection.get(), "BLPOP none 30")).value == nullptr &&
           connection->err == REDIS_ERR_IO;
  });
  EXPECT_EQ(outcome.succeeded, 50);
  EXPECT_GE(outcome.seconds, 0.3);
  EXPECT_LT(outcome.seconds, 2.0);
}

TEST_F(Hiredis, HearsWhatIsPublished) {
  EXPECT_ALL(21, concurrently(21, [](int i) {
               const Connection connection = connect();
               if (i == 20) {
                 for (long long heard = 0; heard < 20;) {
                   const Reply reply(redisCommand(connection.get(), "PUBSUB NUMSUB news"));
                   heard = reply.value->element[1]->integer;
                   asyncio::await(asyncio::sleep(5ms));
                 }
                 Reply(redisCommand(connection.get(), "PUBLISH news hello"));
                 return true;
               }
               Reply(redisCommand(connection.get(), "SUBSCRIBE news"));
               void* message = nullptr;
               if (redisGetReply(connection.get(), &message) != REDIS_OK) return false;
               const Reply reply(message);
               return reply.is(REDIS_REPLY_ARRAY) && std::string(reply.value->element[2]->str) == "hello";
             }));
}

TEST_F(Hiredis, IsGivenUpByWaitForInMidCommand) {
  const double seconds = seconds_of([] {
    asyncio::run([] {
      EXPECT_THROW(asyncio::await(asyncio::wait_for(
                       [] { return Reply(redisCommand(connect().get(), "BLPOP none 30")).text(); }, 300ms)),
                   asyncio::TimeoutError);
      EXPECT_EQ(Reply(redisCommand(connect().get(), "PING")).text(), "PONG");
    });
  });
  EXPECT_LT(seconds, 2.0);
}

}  // namespace
}  // namespace aiofiber::clients_test
