// SPDX-License-Identifier: Apache-2.0
//
// libmemcached in tasks. memcached has no request that takes a second. The library's own time limit shows a
// waiting task here; matrix_test.cc tests cancellations and timeouts.
#include <libmemcached/memcached.h>

#include <cstdlib>
#include <memory>

#include "client_test.h"
#include "listening_socket.h"
#include "servers/servers.h"

namespace aiofiber::clients_test {
namespace {

class Libmemcached : public ClientTest<MemcachedServer> {};

using Client = std::unique_ptr<memcached_st, decltype(&memcached_free)>;

Client client_of(int port) {
  Client client(memcached_create(nullptr), &memcached_free);
  memcached_server_add(client.get(), "127.0.0.1", static_cast<in_port_t>(port));
  return client;
}

bool set(memcached_st* client, const std::string& key, const std::string& value) {
  return memcached_set(client, key.data(), key.size(), value.data(), value.size(), 0, 0) == MEMCACHED_SUCCESS;
}

std::string get(memcached_st* client, const std::string& key) {
  std::size_t length = 0;
  std::uint32_t flags = 0;
  memcached_return_t status = MEMCACHED_FAILURE;
  char* value = memcached_get(client, key.data(), key.size(), &length, &flags, &status);
  const std::string text = value == nullptr ? std::string() : std::string(value, length);
  std::free(value);
  return text;
}

TEST_F(Libmemcached, StoresAndReadsInAHundredTasks) {
  EXPECT_ALL(100, concurrently(100, [](int i) {
               const Client client = client_of(server<MemcachedServer>().port());
               const std::string key = "key" + std::to_string(i);
               const std::string value(500'000, static_cast<char>('a' + i % 26));
               return set(client.get(), key, value) && get(client.get(), key) == value;
             }));
}

TEST_F(Libmemcached, KeepsItsOwnTimeLimitInAHundredTasks) {
  const ListeningSocket mute;
  EXPECT_OVERLAPPING(100, concurrently(100, [&](int) {
                       const Client client = client_of(mute.port());
                       memcached_behavior_set(client.get(), MEMCACHED_BEHAVIOR_POLL_TIMEOUT, 1000);
                       std::size_t length = 0;
                       std::uint32_t flags = 0;
                       memcached_return_t status = MEMCACHED_SUCCESS;
                       return memcached_get(client.get(), "key", 3, &length, &flags, &status) == nullptr &&
                              status == MEMCACHED_TIMEOUT;
                     }));
}

}  // namespace
}  // namespace aiofiber::clients_test
