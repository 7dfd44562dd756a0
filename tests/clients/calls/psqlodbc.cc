// SPDX-License-Identifier: Apache-2.0
//
// PostgreSQL through unixODBC and psqlodbc. The driver is given by its file, so it needs no registration.
#include <sql.h>
#include <sqlext.h>

#include <string>

#include "calls/client_calls.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

class OdbcConnection : public KeptConnection {
 public:
  explicit OdbcConnection(int port) {
    SQLAllocHandle(SQL_HANDLE_ENV, nullptr, &environment_);
    SQLSetEnvAttr(environment_, SQL_ATTR_ODBC_VERSION, reinterpret_cast<void*>(SQL_OV_ODBC3), 0);
    SQLAllocHandle(SQL_HANDLE_DBC, environment_, &connection_);
    std::string text =
        "Driver=" + find_program("/usr/lib/*/odbc/psqlodbcw.so", "odbc-postgresql") +
        ";Server=127.0.0.1;Database=postgres;Uid=postgres;SSLmode=disable;Port=" + std::to_string(port) + ";";
    connected_ = SQL_SUCCEEDED(SQLDriverConnect(connection_, nullptr, reinterpret_cast<SQLCHAR*>(text.data()),
                                                SQL_NTS, nullptr, 0, nullptr, SQL_DRIVER_NOPROMPT));
  }
  ~OdbcConnection() override {
    if (connected_) SQLDisconnect(connection_);
    SQLFreeHandle(SQL_HANDLE_DBC, connection_);
    SQLFreeHandle(SQL_HANDLE_ENV, environment_);
  }
  OdbcConnection(const OdbcConnection&) = delete;
  OdbcConnection& operator=(const OdbcConnection&) = delete;

  std::string ask(int number, int seconds) override {
    SQLHSTMT statement = nullptr;
    if (!connected_ || !SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_STMT, connection_, &statement))) return {};
    std::string sql = "select " + std::to_string(number) + " from pg_sleep(" + std::to_string(seconds) + ")";
    SQLINTEGER answer = -1;
    const bool right =
        SQL_SUCCEEDED(SQLExecDirect(statement, reinterpret_cast<SQLCHAR*>(sql.data()), SQL_NTS)) &&
        SQL_SUCCEEDED(SQLFetch(statement)) &&
        SQL_SUCCEEDED(SQLGetData(statement, 1, SQL_C_LONG, &answer, 0, nullptr));
    SQLFreeHandle(SQL_HANDLE_STMT, statement);
    return right ? std::to_string(answer) : std::string();
  }

 private:
  SQLHENV environment_ = nullptr;
  SQLHDBC connection_ = nullptr;
  bool connected_ = false;
};

class PsqlodbcCalls : public ClientCalls {
 public:
  const char* name() const override { return "psqlodbc"; }
  const char* functions() const override { return "`SQLDriverConnect`, `SQLExecDirect`"; }
  Server& server() override { return clients_test::server<PostgresServer>(); }
  std::unique_ptr<KeptConnection> connect(int port) override {
    return std::make_unique<OdbcConnection>(port);
  }
};

}  // namespace

std::unique_ptr<ClientCalls> psqlodbc_calls() { return std::make_unique<PsqlodbcCalls>(); }

}  // namespace aiofiber::clients_test
