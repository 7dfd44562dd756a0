// SPDX-License-Identifier: Apache-2.0
//
// libpq, PostgreSQL's client library, in tasks.
#include <libpq-fe.h>

#include <memory>

#include "client_test.h"
#include "listening_socket.h"
#include "servers/servers.h"

namespace aiofiber::clients_test {
namespace {

class Libpq : public ClientTest<PostgresServer> {};

using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Answer = std::unique_ptr<PGresult, decltype(&PQclear)>;

Connection connect(const std::string& conninfo) {
  Connection connection(PQconnectdb(conninfo.c_str()), &PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) throw std::runtime_error(PQerrorMessage(connection.get()));
  return connection;
}
Connection connect() { return connect(server<PostgresServer>().conninfo()); }

Answer query(PGconn* connection, const char* sql) { return {PQexec(connection, sql), &PQclear}; }

// The one value of a query; an exception if there is none.
std::string value_of(PGconn* connection, const char* sql) {
  const Answer answer = query(connection, sql);
  if (PQresultStatus(answer.get()) != PGRES_TUPLES_OK) throw std::runtime_error(PQerrorMessage(connection));
  return PQgetvalue(answer.get(), 0, 0);
}

bool sleeps_a_second(const std::string& conninfo, int i) {
  const Connection connection = connect(conninfo);
  return value_of(connection.get(), ("select " + std::to_string(i) + " from pg_sleep(1)").c_str()) ==
         std::to_string(i);
}

TEST_F(Libpq, RunsAHundredQueriesAtOnceOverTcp) {
  const std::string conninfo = server<PostgresServer>().conninfo();
  EXPECT_OVERLAPPING(100, concurrently(100, [&](int i) { return sleeps_a_second(conninfo, i); }));
}

TEST_F(Libpq, RunsAHundredQueriesAtOnceOverUnixSockets) {
  const std::string conninfo = server<PostgresServer>().unix_conninfo();
  EXPECT_OVERLAPPING(100, concurrently(100, [&](int i) { return sleeps_a_second(conninfo, i); }));
}

TEST_F(Libpq, RunsAHundredQueriesAtOnceOnAServerGivenByName) {
  const std::string conninfo = server<PostgresServer>().conninfo("localhost");
  EXPECT_OVERLAPPING(100, concurrently(100, [&](int i) { return sleeps_a_second(conninfo, i); }));
}

TEST_F(Libpq, ReceivesRowsOfTwoMegabytes) {
  EXPECT_ALL(8, concurrently(8, [](int i) {
               const std::string letter(1, static_cast<char>('a' + i));
               const std::string row =
                   value_of(connect().get(), ("select repeat('" + letter + "', 2000000)").c_str());
               return row.size() == 2'000'000 && row.find_first_not_of(letter) == std::string::npos;
             }));
}

TEST_F(Libpq, CopiesTwentyMegabytesInAndOut) {
  EXPECT_ALL(4, concurrently(4, [](int) {
               const Connection connection = connect();
               query(connection.get(), "create temp table lines(line text)");
               query(connection.get(), "copy lines from stdin");
               const std::string line = std::string(1000, 'z') + "\n";
               for (int i = 0; i < 20'000; ++i) {
                 if (PQputCopyData(connection.get(), line.data(), static_cast<int>(line.size())) != 1)
                   return false;
               }
               if (PQputCopyEnd(connection.get(), nullptr) != 1) return false;
               while (Answer answer{PQgetResult(connection.get()), &PQclear}) {
               }
               query(connection.get(), "copy lines to stdout");
               long bytes = 0;
               char* piece = nullptr;
               for (int length; (length = PQgetCopyData(connection.get(), &piece, 0)) > 0;) {
                 bytes += length;
                 PQfreemem(piece);
               }
               while (Answer answer{PQgetResult(connection.get()), &PQclear}) {
               }
               return bytes == 20'000L * 1001 &&
                      value_of(connection.get(), "select count(*) from lines") == "20000";
             }));
}

TEST_F(Libpq, HearsNotificationsWhileItWaitsInSelect) {
  EXPECT_ALL(2, concurrently(2, [](int i) {
               const Connection connection = connect();
               if (i == 1) {
                 asyncio::await(asyncio::sleep(200ms));
                 query(connection.get(), "notify news, 'hello'");
                 return true;
               }
               query(connection.get(), "listen news");
               const int fd = PQsocket(connection.get());
               for (;;) {
                 PQconsumeInput(connection.get());
                 if (PGnotify* news = PQnotifies(connection.get())) {
                   const bool right = std::string(news->extra) == "hello";
                   PQfreemem(news);
                   return right;
                 }
                 fd_set readable;
                 FD_ZERO(&readable);
                 FD_SET(fd, &readable);
                 timeval limit{5, 0};
                 if (::select(fd + 1, &readable, nullptr, nullptr, &limit) <= 0) return false;
               }
             }));
}

TEST_F(Libpq, KeepsItsOwnConnectTimeout) {
  const ListeningSocket mute;
  const std::string conninfo =
      "host=127.0.0.1 user=x sslmode=disable gssencmode=disable connect_timeout=2 port=" +
      std::to_string(mute.port());
  const Concurrently outcome = concurrently(10, [&](int) {
    const Connection connection(PQconnectdb(conninfo.c_str()), &PQfinish);
    return PQstatus(connection.get()) == CONNECTION_BAD &&
           std::string(PQerrorMessage(connection.get())).find("timeout expired") != std::string::npos;
  });
  EXPECT_EQ(outcome.succeeded, 10);
  EXPECT_LT(outcome.seconds, 4.0);
}

TEST_F(Libpq, ReportsACancellationInMidQueryAsAnErrorOfItsOwn) {
  const double seconds = seconds_of([] {
    asyncio::run([] {
      std::string error;
      auto task = asyncio::create_task([&] {
        const Connection connection = connect();
        const Answer answer = query(connection.get(), "select pg_sleep(30)");
        EXPECT_NE(PQresultStatus(answer.get()), PGRES_TUPLES_OK);
        error = PQerrorMessage(connection.get());
      });
      asyncio::await(asyncio::sleep(200ms));
      task.cancel();
      EXPECT_THROW(asyncio::await(task), asyncio::CancelledError);
      EXPECT_NE(error.find("canceled"), std::string::npos) << error;
      EXPECT_EQ(value_of(connect().get(), "select 6 * 7"), "42");
    });
  });
  EXPECT_LT(seconds, 2.0);
}

TEST_F(Libpq, IsGivenUpByWaitForInMidQuery) {
  const double seconds = seconds_of([] {
    asyncio::run([] {
      EXPECT_THROW(asyncio::await(asyncio::wait_for(
                       [] { return value_of(connect().get(), "select pg_sleep(30)"); }, 300ms)),
                   asyncio::TimeoutError);
      EXPECT_EQ(value_of(connect().get(), "select 6 * 7"), "42");
    });
  });
  EXPECT_GE(seconds, 0.3);
  EXPECT_LT(seconds, 2.0);
}

// libpq's own way: the query is ended on the server, through a second connection, and the first one stays
// usable.
TEST_F(Libpq, CancelsAQueryOnTheServerAndKeepsTheConnection) {
  asyncio::run([] {
    const Connection connection = connect();
    std::unique_ptr<PGcancel, decltype(&PQfreeCancel)> cancel(PQgetCancel(connection.get()), &PQfreeCancel);
    auto canceller = asyncio::create_task([&] {
      asyncio::await(asyncio::sleep(200ms));
      char error[256];
      EXPECT_EQ(PQcancel(cancel.get(), error, sizeof error), 1) << error;
    });
    const Answer answer = query(connection.get(), "select pg_sleep(30)");
    EXPECT_STREQ(PQresultErrorField(answer.get(), PG_DIAG_SQLSTATE), "57014");
    asyncio::await(canceller);
    EXPECT_EQ(value_of(connection.get(), "select 6 * 7"), "42");
  });
}

}  // namespace
}  // namespace aiofiber::clients_test
