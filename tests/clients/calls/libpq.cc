// SPDX-License-Identifier: Apache-2.0
//
// A connection and a query, as most programs that use PostgreSQL have them.
#include <libpq-fe.h>

#include <string>

#include "calls/client_calls.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

class LibpqCalls : public ClientCalls {
 public:
  const char* name() const override { return "libpq"; }
  const char* functions() const override { return "`PQconnectdb`, `PQexec`"; }
  Server& server() override { return clients_test::server<PostgresServer>(); }
  bool quick(int port) override { return query(port, "select 6 * 7") == "42"; }
  void never(int port) override { query(port, "select pg_sleep(3600)"); }

 private:
  static std::string query(int port, const char* sql) {
    const std::string conninfo = "host=127.0.0.1 user=postgres dbname=postgres sslmode=disable gssencmode=disable port=" +
                                 std::to_string(port);
    const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(conninfo.c_str()), &PQfinish);
    const std::unique_ptr<PGresult, decltype(&PQclear)> rows(PQexec(connection.get(), sql), &PQclear);
    return PQresultStatus(rows.get()) == PGRES_TUPLES_OK ? PQgetvalue(rows.get(), 0, 0) : "";
  }
};

}  // namespace

std::unique_ptr<ClientCalls> libpq_calls() { return std::make_unique<LibpqCalls>(); }

}  // namespace aiofiber::clients_test
