// SPDX-License-Identifier: Apache-2.0
//
// libmariadb, the client library of MariaDB and MySQL, in tasks. matrix_test.cc tests its calls under faults.
#include <mysql.h>

#include <memory>

#include "client_test.h"
#include "servers/servers.h"

namespace aiofiber::clients_test {
namespace {

class Libmariadb : public ClientTest<MariaServer> {
 protected:
  static void SetUpTestSuite() {
    mysql_library_init(0, nullptr, nullptr);
    ClientTest::SetUpTestSuite();
  }
};

using Connection = std::unique_ptr<MYSQL, decltype(&mysql_close)>;

// By TCP, or by the unix socket at the path. read_timeout in seconds, 0: none.
Connection connect(const char* unix_socket = nullptr, unsigned read_timeout = 0) {
  Connection connection(mysql_init(nullptr), &mysql_close);
  if (read_timeout > 0) mysql_options(connection.get(), MYSQL_OPT_READ_TIMEOUT, &read_timeout);
  const char* host = unix_socket == nullptr ? "127.0.0.1" : "localhost";
  const auto port = static_cast<unsigned>(server<MariaServer>().port());
  if (mysql_real_connect(connection.get(), host, "root", "", "mysql", port, unix_socket, 0) == nullptr) {
    throw std::runtime_error(mysql_error(connection.get()));
  }
  return connection;
}

// The one value of a query; an exception if there is none.
std::string value_of(MYSQL* connection, const std::string& sql) {
  if (mysql_query(connection, sql.c_str()) != 0) throw std::runtime_error(mysql_error(connection));
  const std::unique_ptr<MYSQL_RES, decltype(&mysql_free_result)> rows(mysql_store_result(connection),
                                                                      &mysql_free_result);
  const MYSQL_ROW row = rows == nullptr ? nullptr : mysql_fetch_row(rows.get());
  if (row == nullptr) throw std::runtime_error(mysql_error(connection));
  return {row[0], mysql_fetch_lengths(rows.get())[0]};
}

bool sleeps_a_second(MYSQL* connection, int i) {
  return value_of(connection, "select " + std::to_string(i) + " + sleep(1)") == std::to_string(i);
}

TEST_F(Libmariadb, RunsAHundredQueriesAtOnceOverTcp) {
  EXPECT_OVERLAPPING(100, concurrently(100, [](int i) { return sleeps_a_second(connect().get(), i); }));
}

TEST_F(Libmariadb, RunsAHundredQueriesAtOnceOverUnixSockets) {
  const std::string path = server<MariaServer>().unix_socket();
  EXPECT_OVERLAPPING(
      100, concurrently(100, [&](int i) { return sleeps_a_second(connect(path.c_str()).get(), i); }));
}

TEST_F(Libmariadb, ReceivesValuesOfEightMegabytes) {
  EXPECT_ALL(8, concurrently(8, [](int i) {
               const std::string letter(1, static_cast<char>('a' + i));
               const std::string value =
                   value_of(connect().get(), "select repeat('" + letter + "', 8000000)");
               return value.size() == 8'000'000 && value.find_first_not_of(letter) == std::string::npos;
             }));
}

TEST_F(Libmariadb, KeepsItsOwnReadTimeout) {
  const Concurrently outcome = concurrently(20, [](int) {
    const Connection connection = connect(nullptr, 1);
    return mysql_query(connection.get(), "select sleep(30)") != 0;
  });
  EXPECT_EQ(outcome.succeeded, 20);
  EXPECT_GE(outcome.seconds, 0.95);
  EXPECT_LT(outcome.seconds, 3.0);
}

}  // namespace
}  // namespace aiofiber::clients_test
