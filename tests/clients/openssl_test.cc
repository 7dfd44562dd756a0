// SPDX-License-Identifier: Apache-2.0
//
// OpenSSL's blocking calls on the test's own sockets, in tasks, with nginx at the other end.
#include <openssl/err.h>

#include "calls/tls_connection.h"
#include "client_test.h"
#include "servers/servers.h"

namespace aiofiber::clients_test {
namespace {

class Openssl : public ClientTest<HttpServer> {};

std::string get(const std::string& path) {
  const HttpServer& http = server<HttpServer>();
  return TlsConnection(http.certificate(), http.https_port()).ask("GET " + path + " HTTP/1.0\r\n\r\n");
}

TEST_F(Openssl, ReadsAHundredSlowAnswersAtOnce) {
  EXPECT_OVERLAPPING(100, concurrently(100, [](int) { return get("/slow").ends_with("\r\n\r\nslow\n"); }));
}

TEST_F(Openssl, ReadsFiveMegabytes) {
  EXPECT_ALL(
      8, concurrently(8, [](int) { return get("/5m").ends_with("\r\n\r\n" + std::string(5'000'000, 'y')); }));
}

// OpenSSL keeps its queue of errors per thread: a task must not find what another left there while it was
// suspended.
TEST_F(Openssl, KeepsTheQueueOfErrorsOfEachTaskApart) {
  asyncio::run([] {
    auto failing = asyncio::create_task([] {
      ERR_raise(ERR_LIB_USER, 77);
      asyncio::await(asyncio::sleep(50ms));
      EXPECT_EQ(ERR_GET_REASON(ERR_get_error()), 77);
    });
    asyncio::await(asyncio::sleep(10ms));
    EXPECT_EQ(ERR_peek_error(), 0u);
    EXPECT_TRUE(get("/slow").ends_with("slow\n"));
    asyncio::await(failing);
  });
}

}  // namespace
}  // namespace aiofiber::clients_test
