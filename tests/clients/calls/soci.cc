// SPDX-License-Identifier: Apache-2.0
//
// PostgreSQL through SOCI, with a pool of one connection: after a cut, the next caller gets the same
// connection.
#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>
#include <exception>
#include <string>

#include "calls/client_calls.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

class SociPool : public KeptConnection {
 public:
  explicit SociPool(int port) : pool_(1) {
    pool_.at(0).open(soci::postgresql,
                     "host=127.0.0.1 user=postgres dbname=postgres sslmode=disable gssencmode=disable port=" +
                         std::to_string(port));
  }
  std::string ask(int number, int seconds) override {
    try {
      soci::session session(pool_);
      int answer = -1;
      session << "select " + std::to_string(number) + " from pg_sleep(" + std::to_string(seconds) + ")",
          soci::into(answer);
      return std::to_string(answer);
    } catch (const std::exception&) {
      return {};
    }
  }

 private:
  soci::connection_pool pool_;
};

class SociCalls : public ClientCalls {
 public:
  const char* name() const override { return "SOCI, a pool"; }
  const char* functions() const override { return "`soci::session`, `operator<<`"; }
  Server& server() override { return clients_test::server<PostgresServer>(); }
  std::unique_ptr<KeptConnection> connect(int port) override {
    try {
      return std::make_unique<SociPool>(port);
    } catch (const std::exception&) {
      return nullptr;
    }
  }
};

}  // namespace

std::unique_ptr<ClientCalls> soci_calls() { return std::make_unique<SociCalls>(); }

}  // namespace aiofiber::clients_test
