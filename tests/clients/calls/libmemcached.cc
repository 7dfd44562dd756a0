// SPDX-License-Identifier: Apache-2.0
//
// Stores a value and reads it again. memcached answers everything at once, so a proxy delays the answer. The
// library's own limit (5 s) is raised, so that it has no effect.
#include <libmemcached/memcached.h>

#include <cstdlib>
#include <string>

#include "calls/client_calls.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

using Client = std::unique_ptr<memcached_st, decltype(&memcached_free)>;

Client client_of(int port) {
  Client client(memcached_create(nullptr), &memcached_free);
  memcached_server_add(client.get(), "127.0.0.1", static_cast<in_port_t>(port));
  memcached_behavior_set(client.get(), MEMCACHED_BEHAVIOR_POLL_TIMEOUT, 3'600'000);
  return client;
}

class LibmemcachedConnection : public KeptConnection {
 public:
  // `server_port`: the server's own, by which it is given what it is asked for later.
  LibmemcachedConnection(int server_port, int port) : client_(client_of(port)) {
    const Client filler = client_of(server_port);
    for (int number = 1; number < 10; ++number) {
      const std::string text = std::to_string(number);
      memcached_set(filler.get(), text.data(), text.size(), text.data(), text.size(), 0, 0);
    }
  }
  std::string ask(int number, int) override {
    const std::string key = std::to_string(number);
    std::size_t length = 0;
    std::uint32_t flags = 0;
    memcached_return_t status = MEMCACHED_FAILURE;
    char* found = memcached_get(client_.get(), key.data(), key.size(), &length, &flags, &status);
    const std::string value = found == nullptr ? std::string() : std::string(found, length);
    std::free(found);
    return value;
  }

 private:
  Client client_;
};

class LibmemcachedCalls : public ClientCalls {
 public:
  const char* name() const override { return "libmemcached"; }
  const char* functions() const override { return "`memcached_set`, `memcached_get`"; }
  Server& server() override { return clients_test::server<MemcachedServer>(); }
  bool quick(int port) override { return set_and_get(port); }
  bool waits_for_ever() const override { return false; }
  void never(int port) override { set_and_get(port); }
  std::unique_ptr<KeptConnection> connect(int port) override {
    return std::make_unique<LibmemcachedConnection>(server().port(), port);
  }

 private:
  static bool set_and_get(int port) {
    const Client client = client_of(port);
    const std::string key = "key" + std::to_string(port);
    const std::string value(300, 'v');
    if (memcached_set(client.get(), key.data(), key.size(), value.data(), value.size(), 0, 0) !=
        MEMCACHED_SUCCESS) {
      return false;
    }
    std::size_t length = 0;
    std::uint32_t flags = 0;
    memcached_return_t status = MEMCACHED_FAILURE;
    char* found = memcached_get(client.get(), key.data(), key.size(), &length, &flags, &status);
    const bool right = found != nullptr && std::string(found, length) == value;
    std::free(found);
    return right;
  }
};

}  // namespace

std::unique_ptr<ClientCalls> libmemcached_calls() { return std::make_unique<LibmemcachedCalls>(); }

}  // namespace aiofiber::clients_test
