// SPDX-License-Identifier: Apache-2.0
//
// A connection and a query, as most programs that use PostgreSQL have them.
#include <libpq-fe.h>

#include <string>

#include "calls/client_calls.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

class LibpqConnection : public KeptConnection {
 public:
  explicit LibpqConnection(int port)
      : connection_(
            PQconnectdb(
                ("host=127.0.0.1 user=postgres dbname=postgres sslmode=disable gssencmode=disable port=" +
                 std::to_string(port))
                    .c_str()),
            &PQfinish) {}
  std::string ask(int number, int seconds) override {
    const std::string sql =
        "select " + std::to_string(number) + " from pg_sleep(" + std::to_string(seconds) + ")";
    const std::unique_ptr<PGresult, decltype(&PQclear)> rows(PQexec(connection_.get(), sql.c_str()),
                                                             &PQclear);
    return PQresultStatus(rows.get()) == PGRES_TUPLES_OK ? PQgetvalue(rows.get(), 0, 0) : "";
  }

 private:
  std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

class LibpqCalls : public ClientCalls {
 public:
  const char* name() const override { return "libpq"; }
  const char* functions() const override { return "`PQconnectdb`, `PQexec`"; }
  Server& server() override { return clients_test::server<PostgresServer>(); }
  std::unique_ptr<KeptConnection> connect(int port) override {
    return std::make_unique<LibpqConnection>(port);
  }
};

}  // namespace

std::unique_ptr<ClientCalls> libpq_calls() { return std::make_unique<LibpqCalls>(); }

}  // namespace aiofiber::clients_test
