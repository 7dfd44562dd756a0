// SPDX-License-Identifier: Apache-2.0
//
// Sessions of TLS: which connections begin with one of an earlier connection, and which must not.
//
// The clock of OpenSSL and of certificates is time(), which this program replaces to let sessions grow old.
// Labels: long
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "aiofiber/asyncio.h"
#include "facade/tls/certificates.h"
#include "facade/tls/ends.h"
#include "support/run_in_loop.h"

static std::atomic<std::time_t> seconds_ahead = 0;

extern "C" std::time_t time(std::time_t* out) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const std::time_t seconds = now.tv_sec + seconds_ahead;
  if (out != nullptr) *out = seconds;
  return seconds;
}

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

struct Visit {
  std::optional<SslSession> session;
  bool reused = false;
  std::string version;
};

// A connection that sends a line, reads it, and ends regularly. The server must agree on whether it resumes.
Visit visit(int port, const SslContext& context, SslSession session = {},
            const std::string& name = "localhost") {
  auto [reader, writer] = await(open_connection(
      "127.0.0.1", port, {.ssl = context, .server_hostname = name, .ssl_session = std::move(session)}));
  writer.write("line\n");
  EXPECT_EQ(await(reader.readline()), "line\n");
  const Visit seen{.session = writer.get_extra_info(extra_info::ssl_session),
                   .reused = *writer.get_extra_info(extra_info::ssl_session_reused),
                   .version = *writer.get_extra_info(extra_info::ssl_version)};
  writer.close();
  await(writer.wait_closed());
  return seen;
}

// A server, and a context for its clients, of each version.
template <class F>
void with_each_version(F body) {
  for (const TLSVersion version : {TLSVersion::TLSv1_2, TLSVersion::TLSv1_3}) {
    SCOPED_TRACE(version == TLSVersion::TLSv1_2 ? "TLS 1.2" : "TLS 1.3");
    const SslContext client = client_context();
    client.set_maximum_version(version);
    run_in_loop([&] {
      int resumed = 0;
      Server server = await(start_server(
          [&resumed](StreamReader reader, StreamWriter writer) {
            resumed += *writer.get_extra_info(extra_info::ssl_session_reused) ? 1 : 0;
            EXPECT_EQ(writer.get_extra_info(extra_info::ssl_session), std::nullopt);
            echo(std::move(reader), std::move(writer));
          },
          "127.0.0.1", 0, {.ssl = server_context()}));
      body(port_of(server), client, resumed);
      end(server);
    });
  }
}

TEST(TlsSession, IsResumedByASecondConnection) {
  with_each_version([](int port, const SslContext& client, const int& resumed) {
    const Visit first = visit(port, client);
    EXPECT_FALSE(first.reused);
    ASSERT_TRUE(first.session.has_value());
    const Visit second = visit(port, client, *first.session);
    EXPECT_TRUE(second.reused);
    EXPECT_EQ(second.version, first.version);
    EXPECT_TRUE(visit(port, client, second.session.value()).reused);
    EXPECT_EQ(resumed, 2);
  });
}

TEST(TlsSession, IsResumedByCoroutinesWithoutAStack) {
  run_in_loop([]() -> Coro<void> {
    const SslContext client = client_context();
    const StartServerOptions of_server{.ssl = server_context()};
    Server server = co_await start_server(
        [](StreamReader reader, StreamWriter writer) -> Coro<void> {
          std::string line = co_await reader.readline();
          writer.write(std::move(line));
          writer.close();
          co_await writer.wait_closed();
        },
        "127.0.0.1", 0, of_server);
    SslSession session;
    for (const bool resumes : {false, true}) {
      const OpenConnectionOptions options{.ssl = client, .ssl_session = session};
      auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server), options);
      writer.write("line\n");
      std::string line = co_await reader.readline();
      EXPECT_EQ(line, "line\n");
      EXPECT_EQ(writer.get_extra_info(extra_info::ssl_session_reused), resumes);
      session = writer.get_extra_info(extra_info::ssl_session).value();
      writer.close();
      co_await writer.wait_closed();
    }
    server.close();
    co_await server.wait_closed();
  });
}

TEST(TlsSession, OfAnotherServerNameIsNotOffered) {
  const std::string file = Certificates::get().make({.alternative = "DNS:localhost,DNS:other.test"}).file;
  run_in_loop([&] {
    const SslContext client = client_context();
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = server_context(file)}));
    const SslSession session = visit(port_of(server), client).session.value();
    EXPECT_FALSE(visit(port_of(server), client, session, "other.test").reused);
    EXPECT_TRUE(visit(port_of(server), client, session).reused);
    end(server);
  });
}

TEST(TlsSession, OfAnotherServerNameIsRefusedByTheServer) {
  const std::string file = Certificates::get().make({.alternative = "DNS:localhost,DNS:other.test"}).file;
  with_each_version([&](int, SslContext client, const int&) {
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = server_context(file)}));
    // A client that offers it all the same.
    detail::TlsSessionData data = visit(port_of(server), client).session.value().data();
    data.server_hostname = "other.test";
    const SslSession session(std::make_shared<const detail::TlsSessionData>(data));
    EXPECT_FALSE(visit(port_of(server), client, session, "other.test").reused);
    data.server_hostname = "localhost";
    const SslSession right(std::make_shared<const detail::TlsSessionData>(data));
    EXPECT_TRUE(visit(port_of(server), client, right).reused);
    end(server);
  });
}

TEST(TlsSession, OfOtherChecksIsNotOffered) {
  with_each_version([](int port, const SslContext& client, const int&) {
    client.set_check_hostname(false);
    client.set_verify_mode(CERT_NONE);
    const SslSession session = visit(port, client).session.value();
    client.set_verify_mode(CERT_REQUIRED);
    EXPECT_FALSE(visit(port, client, session).reused);
    client.set_verify_mode(CERT_NONE);
    EXPECT_TRUE(visit(port, client, session).reused);
    client.set_check_hostname(true);
    EXPECT_FALSE(visit(port, client, session).reused);
  });
}

TEST(TlsSession, ThatHasExpiredIsNotResumed) {
  with_each_version([](int port, const SslContext& client, const int&) {
    const SslSession session = visit(port, client).session.value();
    seconds_ahead = 7200 - 600;
    EXPECT_TRUE(visit(port, client, session).reused);
    seconds_ahead = 7200 + 600;
    EXPECT_FALSE(visit(port, client, session).reused);
    // A client that offers it all the same.
    detail::TlsSessionData data = session.data();
    data.timeout = 24h;
    EXPECT_FALSE(
        visit(port, client, SslSession(std::make_shared<const detail::TlsSessionData>(data))).reused);
    seconds_ahead = 0;
  });
}

TEST(TlsSession, ThatTheServerDoesNotKnowIsNoError) {
  with_each_version([](int port, const SslContext& client, const int&) {
    const SslSession session = visit(port, client).session.value();
    Server restarted = await(start_server(echo, "127.0.0.1", 0, {.ssl = server_context()}));
    const Visit second = visit(port_of(restarted), client, session);
    EXPECT_FALSE(second.reused);
    EXPECT_TRUE(visit(port_of(restarted), client, second.session.value()).reused);
    end(restarted);
  });
}

TEST(TlsSession, OutlivesAConnectionThatIsCut) {
  with_each_version([](int port, const SslContext& client, const int&) {
    auto [reader, writer] =
        await(open_connection("127.0.0.1", port, {.ssl = client, .server_hostname = "localhost"}));
    writer.write("line\n");
    await(reader.readline());
    const SslSession session = writer.get_extra_info(extra_info::ssl_session).value();
    writer.transport().abort();
    await(writer.wait_closed());
    EXPECT_TRUE(visit(port, client, session).reused);
  });
}

TEST(TlsSession, ServesManyConnectionsAtOnce) {
  with_each_version([](int port, const SslContext& client, const int& resumed) {
    const SslSession session = visit(port, client).session.value();
    std::vector<Task<bool>> tasks;
    for (int i = 0; i < 30; ++i)
      tasks.push_back(create_task([&] { return visit(port, client, session).reused; }));
    for (const bool reused : await(gather(tasks))) EXPECT_TRUE(reused);
    EXPECT_EQ(resumed, 30);
  });
}

TEST(TlsSession, ServesSeveralLoopsOnSeveralThreads) {
  const SslContext client = client_context();
  const SslContext serving = server_context();
  std::vector<int> reused(4);
  run([&] {
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = serving}));
    Server second = await(start_server(echo, "127.0.0.1", 0, {.ssl = serving}));
    const SslSession session = visit(port_of(server), client).session.value();
    std::vector<Coroutine<void>> threads;
    for (int& count : reused) {
      threads.push_back(to_thread([&, port = port_of(&count == &reused[0] ? second : server)] {
        run([&] {
          for (int i = 0; i < 10; ++i) {
            auto [one, two] = await(gather([&] { return visit(port, client, session); },
                                           [&] { return visit(port, client, session); }));
            count += one.reused + two.reused;
          }
        });
      }));
    }
    await(gather(std::move(threads)));
    end(server);
    end(second);
  });
  EXPECT_EQ(reused, (std::vector<int>{20, 20, 20, 20}));
}

TEST(TlsSession, OfTls13ComesBehindTheHandshake) {
  run_in_loop([] {
    const SslContext serving = server_context();
    EXPECT_EQ(serving.num_tickets(), 2U);
    const SslContext client = client_context();
    for (const std::size_t tickets : {std::size_t{2}, std::size_t{0}}) {
      serving.set_num_tickets(tickets);
      EXPECT_EQ(serving.num_tickets(), tickets);
      Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = serving}));
      auto [reader, writer] = await(
          open_connection("127.0.0.1", port_of(server), {.ssl = client, .server_hostname = "localhost"}));
      EXPECT_EQ(writer.get_extra_info(extra_info::ssl_session), std::nullopt);
      writer.write("line\n");
      await(reader.readline());
      EXPECT_EQ(writer.get_extra_info(extra_info::ssl_session).has_value(), tickets > 0);
      writer.close();
      await(writer.wait_closed());
      end(server);
    }
    EXPECT_THROW(client.set_num_tickets(1), ValueError);
  });
}

TEST(TlsSession, TellsWhatItIs) {
  with_each_version([](int port, const SslContext& client, const int&) {
    const std::time_t before = std::time(nullptr);
    const SslSession session = visit(port, client).session.value();
    EXPECT_EQ(session.id().size(), 32U);
    EXPECT_TRUE(session.has_ticket());
    EXPECT_EQ(session.timeout(), 2h);
    EXPECT_EQ(session.ticket_lifetime_hint(), 2h);
    EXPECT_GE(session.time().time_since_epoch().count(), before);
    EXPECT_LE(session.time().time_since_epoch().count(), std::time(nullptr));
    auto [reader, writer] =
        await(open_connection("127.0.0.1", port, {.ssl = client, .server_hostname = "localhost"}));
    writer.write("line\n");
    await(reader.readline());
    const SslSession second = writer.get_extra_info(extra_info::ssl_session).value();
    EXPECT_EQ(second, writer.get_extra_info(extra_info::ssl_session));
    EXPECT_NE(second, session);
    EXPECT_NE(second, SslSession());
    writer.close();
    await(writer.wait_closed());
  });
  EXPECT_FALSE(SslSession().valid());
  EXPECT_THROW(SslSession().id(), RuntimeError);
}

TEST(TlsSession, KeepsTheCertificatesOfBothSides) {
  const SslContext serving = server_context();
  serving.set_verify_mode(CERT_REQUIRED);
  serving.load_verify_locations(Certificates::get().authority());
  const SslContext client = client_context();
  client.load_cert_chain(Certificates::get().make({.name = "guest", .alternative = "DNS:guest"}).file);
  run_in_loop([&] {
    std::vector<std::string> guests;
    Server server = await(start_server(
        [&](StreamReader reader, StreamWriter writer) {
          guests.push_back(writer.get_extra_info(extra_info::peercert).value().subject.at(0).second);
          echo(std::move(reader), std::move(writer));
        },
        "127.0.0.1", 0, {.ssl = serving}));
    const SslSession session = visit(port_of(server), client).session.value();
    auto [reader, writer] =
        await(open_connection("127.0.0.1", port_of(server),
                              {.ssl = client, .server_hostname = "localhost", .ssl_session = session}));
    EXPECT_EQ(writer.get_extra_info(extra_info::ssl_session_reused), true);
    EXPECT_EQ(writer.get_extra_info(extra_info::peercert).value().subject.at(0).second, "localhost");
    writer.close();
    await(writer.wait_closed());
    EXPECT_EQ(guests, (std::vector<std::string>{"guest", "guest"}));
    end(server);
  });
}

// A client without a certificate must not come in by a session of the host that asks for none.
TEST(TlsSession, IsNoWayAroundTheChecksOfAnotherHost) {
  const std::string file = Certificates::get().make({.alternative = "DNS:open.test,DNS:closed.test"}).file;
  const SslContext closed = server_context(file);
  closed.set_verify_mode(CERT_REQUIRED);
  const SslContext serving = server_context(file);
  serving.set_sni_callback(
      [&](const std::optional<std::string>& name) { return name == "closed.test" ? closed : SslContext(); });
  with_each_version([&](int, const SslContext& client, const int&) {
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = serving}));
    detail::TlsSessionData data = visit(port_of(server), client, {}, "open.test").session.value().data();
    EXPECT_TRUE(visit(port_of(server), client,
                      SslSession(std::make_shared<const detail::TlsSessionData>(data)), "open.test")
                    .reused);
    data.server_hostname = "closed.test";
    const SslSession session(std::make_shared<const detail::TlsSessionData>(data));
    const auto enter = [&] {
      auto [reader, writer] =
          await(open_connection("127.0.0.1", port_of(server),
                                {.ssl = client, .server_hostname = "closed.test", .ssl_session = session}));
      writer.write("line\n");
      await(reader.readline());
    };
    EXPECT_EQ(thrown<SSLError>(enter).find("[SSL: "), 0U);
    end(server);
  });
}

TEST(TlsSession, IsResumedInMidStream) {
  run_in_loop([] {
    const SslContext client = client_context();
    const SslContext serving = server_context();
    SslSession session;
    for (const bool resumes : {false, true}) {
      auto [ours, theirs] = socketpair();
      auto [reader, writer] = await(open_connection(ours));
      auto [peer_reader, peer_writer] = await(open_connection(theirs));
      auto starting =
          create_task([&, writer = peer_writer] { await(writer.start_tls(serving, {.server_side = true})); });
      await(writer.start_tls(client, {.server_hostname = "localhost", .ssl_session = session}));
      await(starting);
      peer_writer.write("line\n");
      EXPECT_EQ(await(reader.readline()), "line\n");
      EXPECT_EQ(writer.get_extra_info(extra_info::ssl_session_reused), resumes);
      EXPECT_EQ(peer_writer.get_extra_info(extra_info::ssl_session_reused), resumes);
      session = writer.get_extra_info(extra_info::ssl_session).value();
      writer.close();
      await(writer.wait_closed());
    }
  });
}

TEST(TlsSession, OfTheWrongPlaceIsAnError) {
  with_each_version([](int port, const SslContext& client, const int&) {
    const SslSession session = visit(port, client).session.value();
    EXPECT_EQ(thrown<ValueError>([&] {
                await(open_connection("127.0.0.1", port, {.ssl = client_context(), .ssl_session = session}));
              }),
              "Session refers to a different SSLContext.");
    EXPECT_EQ(
        thrown<ValueError>([&] { await(open_connection("127.0.0.1", port, {.ssl_session = session})); }),
        "ssl_session is only meaningful with ssl");
    auto [ours, theirs] = socketpair();
    auto [reader, writer] = await(open_connection(ours));
    EXPECT_EQ(thrown<ValueError>([&, writer = writer] {
                await(writer.start_tls(server_context(), {.server_side = true, .ssl_session = session}));
              }),
              "ssl_session is only for the client's side");
    EXPECT_EQ(
        thrown<ValueError>([&, writer = writer] {
          await(writer.start_tls(client_context(), {.server_hostname = "localhost", .ssl_session = session}));
        }),
        "Session refers to a different SSLContext.");
    EXPECT_EQ(writer.get_extra_info(extra_info::ssl_session_reused), std::nullopt);
    writer.close();
    await(writer.wait_closed());
  });
}

}  // namespace
}  // namespace aiofiber
