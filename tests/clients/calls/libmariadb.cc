// SPDX-License-Identifier: Apache-2.0
//
// MariaDB's client library, which programs for MySQL use too.
#include <mysql.h>

#include <string>

#include "calls/client_calls.h"
#include "client_test.h"

namespace aiofiber::clients_test {
namespace {

class LibmariadbConnection : public KeptConnection {
 public:
  explicit LibmariadbConnection(int port) : connection_(mysql_init(nullptr), &mysql_close) {
    connected_ = mysql_real_connect(connection_.get(), "127.0.0.1", "root", "", "mysql",
                                    static_cast<unsigned>(port), nullptr, 0) != nullptr;
  }
  std::string ask(int number, int seconds) override {
    const std::string sql = "select " + std::to_string(number) + ", sleep(" + std::to_string(seconds) + ")";
    if (!connected_ || mysql_query(connection_.get(), sql.c_str()) != 0) return {};
    const std::unique_ptr<MYSQL_RES, decltype(&mysql_free_result)> rows(mysql_store_result(connection_.get()),
                                                                        &mysql_free_result);
    const MYSQL_ROW row = rows == nullptr ? nullptr : mysql_fetch_row(rows.get());
    return row == nullptr || row[0] == nullptr ? std::string() : std::string(row[0]);
  }

 private:
  std::unique_ptr<MYSQL, decltype(&mysql_close)> connection_;
  bool connected_ = false;
};

class LibmariadbCalls : public ClientCalls {
 public:
  LibmariadbCalls() { mysql_library_init(0, nullptr, nullptr); }
  const char* name() const override { return "libmariadb"; }
  const char* functions() const override {
    return "`mysql_real_connect`, `mysql_query`, `mysql_store_result`";
  }
  Server& server() override { return clients_test::server<MariaServer>(); }
  std::unique_ptr<KeptConnection> connect(int port) override {
    return std::make_unique<LibmariadbConnection>(port);
  }
};

}  // namespace

std::unique_ptr<ClientCalls> libmariadb_calls() { return std::make_unique<LibmariadbCalls>(); }

}  // namespace aiofiber::clients_test
