// SPDX-License-Identifier: Apache-2.0
//
// PostgreSQL through libpqxx, with a transaction for each query, as its users write it. The transaction's
// destructor rolls back a failed query.
#include <exception>
#include <pqxx/pqxx>
#include <string>

#include "calls/client_calls.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

class LibpqxxConnection : public KeptConnection {
 public:
  explicit LibpqxxConnection(int port)
      : connection_("host=127.0.0.1 user=postgres dbname=postgres sslmode=disable gssencmode=disable port=" +
                    std::to_string(port)) {}
  std::string ask(int number, int seconds) override {
    try {
      pqxx::work transaction(connection_);
      const pqxx::result rows = transaction.exec("select " + std::to_string(number) + " from pg_sleep(" +
                                                 std::to_string(seconds) + ")");
      transaction.commit();
      return rows[0][0].c_str();
    } catch (const std::exception&) {
      return {};
    }
  }

 private:
  pqxx::connection connection_;
};

class LibpqxxCalls : public ClientCalls {
 public:
  const char* name() const override { return "libpqxx"; }
  const char* functions() const override { return "`pqxx::connection`, `pqxx::work`"; }
  Server& server() override { return clients_test::server<PostgresServer>(); }
  std::unique_ptr<KeptConnection> connect(int port) override {
    try {
      return std::make_unique<LibpqxxConnection>(port);
    } catch (const std::exception&) {
      return nullptr;
    }
  }
};

}  // namespace

std::unique_ptr<ClientCalls> libpqxx_calls() { return std::make_unique<LibpqxxCalls>(); }

}  // namespace aiofiber::clients_test
