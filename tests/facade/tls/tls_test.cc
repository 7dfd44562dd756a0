// SPDX-License-Identifier: Apache-2.0
//
// Encrypted streams as a program uses them: both ends in one loop, on the loopback.
// Labels: clang long
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "aiofiber/asyncio.h"
#include "facade/tls/certificates.h"
#include "facade/tls/ends.h"
#include "support/descriptors.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

TEST(Tls, EchoesBetweenAClientAndAServer) {
  run_in_loop([] {
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = server_context()}));
    auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server), {.ssl = client_context()}));
    writer.write("hello\n");
    EXPECT_EQ(await(reader.readline()), "hello\n");
    writer.close();
    await(writer.wait_closed());
    EXPECT_EQ(await(reader.read()), "");
    end(server);
  });
}

TEST(Tls, EchoesBetweenCoroutinesWithoutAStack) {
  run_in_loop([]() -> Coro<void> {
    const StartServerOptions of_server{.ssl = server_context()};
    const OpenConnectionOptions of_client{.ssl = client_context()};
    Server server = co_await start_server(
        [](StreamReader reader, StreamWriter writer) -> Coro<void> {
          std::string line = co_await reader.readline();
          writer.write(std::move(line));
          co_await writer.drain();
          writer.close();
          co_await writer.wait_closed();
        },
        "127.0.0.1", 0, of_server);
    auto [reader, writer] = co_await open_connection("127.0.0.1", port_of(server), of_client);
    writer.write("hello\n");
    std::string all = co_await reader.read();
    EXPECT_EQ(all, "hello\n");
    writer.close();
    co_await writer.wait_closed();
    server.close();
    co_await server.wait_closed();
  });
}

TEST(Tls, CarriesManyBytesBothWaysWithABoundedBuffer) {
  run_in_loop([] {
    Ends ends = tls_pair();
    const std::string piece(100'000, 'x');
    constexpr std::size_t kPieces = 60;
    std::size_t most = 0;
    const auto send = [&](StreamWriter writer) {
      for (std::size_t i = 0; i < kPieces; ++i) {
        writer.write(piece);
        await(writer.drain());
        most = std::max(most, writer.transport().get_write_buffer_size());
      }
    };
    const auto receive = [&](StreamReader reader) {
      return await(reader.readexactly(static_cast<std::ptrdiff_t>(kPieces * piece.size())));
    };
    auto [one, two, to_peer, to_us] =
        await(gather([&] { send(ends.writer); }, [&] { send(ends.peer_writer); },
                     [&] { return receive(ends.peer_reader); }, [&] { return receive(ends.reader); }));
    EXPECT_EQ(to_peer, std::string(kPieces * piece.size(), 'x'));
    EXPECT_EQ(to_us, to_peer);
    EXPECT_LE(most, 64U * 1024U);
    ends.writer.close();
    ends.peer_writer.close();
    await(ends.writer.wait_closed());
  });
}

TEST(Tls, DrainsToTheLowMarkWhateverTheMarksAre) {
  run_in_loop([] {
    Ends ends = tls_pair();
    ends.writer.transport().set_write_buffer_limits({.high = 0});
    ends.writer.write(std::string(3'000'000, 'x'));
    auto reading = create_task([&] { return await(ends.peer_reader.readexactly(3'000'000)).size(); });
    await(ends.writer.drain());
    EXPECT_EQ(ends.writer.transport().get_write_buffer_size(), 0U);
    EXPECT_EQ(await(reading), 3'000'000U);
    ends.writer.close();
    await(ends.writer.wait_closed());
  });
}

TEST(Tls, PausesTheWriterOfAReaderThatIsSlow) {
  run_in_loop([] {
    Ends ends = tls_pair();
    ends.writer.write(std::string(20'000'000, 'x'));
    auto draining = create_task([&] { await(ends.writer.drain()); });
    testing::wait_all_tasks_blocked();
    EXPECT_FALSE(draining.done());
    EXPECT_LT(ends.peer_reader.state()->buffer.size(), 1'000'000U);
    EXPECT_EQ(await(ends.peer_reader.readexactly(20'000'000)).size(), 20'000'000U);
    await(draining);
    ends.writer.close();
    await(ends.writer.wait_closed());
  });
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}
bool has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return true;
  ADD_FAILURE() << text << "\nhas no\n" << part;
  return false;
}

// ---- verification -----------------------------------------------------------------------------------------

// The error of a client that connects to a server with this context.
template <class E>
std::string refused(const SslContext& server_ssl, const SslContext& client_ssl,
                    std::optional<std::string> name = std::nullopt) {
  std::string text;
  const auto before = open_descriptors();
  run_in_loop([&] {
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = server_ssl}));
    text = thrown<E>([&] {
      auto [reader, writer] =
          await(open_connection("127.0.0.1", port_of(server), {.ssl = client_ssl, .server_hostname = name}));
      writer.write("x");
      await(reader.read());
    });
    end(server);
  });
  EXPECT_EQ(open_descriptors(), before);
  return text;
}

TEST(TlsVerification, RefusesAnotherHostName) {
  EXPECT_EQ(
      refused<SSLCertVerificationError>(server_context(), client_context(), "example.org"),
      "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, certificate is not "
      "valid for 'example.org'");
}
TEST(TlsVerification, RefusesAnotherAddress) {
  const std::string file = Certificates::get().make({.alternative = "DNS:localhost"}).file;
  EXPECT_EQ(
      refused<SSLCertVerificationError>(server_context(file), client_context()),
      "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: IP address mismatch, certificate is not "
      "valid for '127.0.0.1'");
}
TEST(TlsVerification, RefusesAnExpiredCertificate) {
  const std::string file = Certificates::get().make({.begins_in_s = -7200, .ends_in_s = -3600}).file;
  EXPECT_EQ(refused<SSLCertVerificationError>(server_context(file), client_context()),
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired");
}
TEST(TlsVerification, RefusesASelfSignedCertificate) {
  const std::string file = Certificates::get().make({.self_signed = true}).file;
  EXPECT_EQ(refused<SSLCertVerificationError>(server_context(file), client_context()),
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate");
}
TEST(TlsVerification, TellsTheNumberAndTheReason) {
  run_in_loop([] {
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = server_context()}));
    try {
      await(open_connection("127.0.0.1", port_of(server),
                            {.ssl = client_context(), .server_hostname = "example.org"}));
      ADD_FAILURE();
    } catch (const SSLCertVerificationError& error) {
      EXPECT_EQ(error.verify_code(), X509_V_ERR_HOSTNAME_MISMATCH);
      EXPECT_EQ(error.reason(), "CERTIFICATE_VERIFY_FAILED");
      EXPECT_EQ(error.library(), "SSL");
    }
    end(server);
  });
}
TEST(TlsVerification, RefusesAVersionThatIsTooOld) {
  const SslContext server = server_context();
  server.set_minimum_version(TLSVersion::TLSv1_3);
  const SslContext client = client_context();
  client.set_maximum_version(TLSVersion::TLSv1_2);
  EXPECT_EQ(refused<SSLError>(server, client),
            "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert protocol version");
}
TEST(TlsVerification, OfAClientFailsWithoutACertificate) {
  const SslContext server = server_context();
  server.set_verify_mode(CERT_REQUIRED);
  EXPECT_EQ(refused<SSLError>(server, client_context()),
            "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required");
}
TEST(TlsVerification, TakesAnythingIfItIsSwitchedOff) {
  run_in_loop([] {
    const std::string file = Certificates::get().make({.self_signed = true}).file;
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = server_context(file)}));
    const SslContext context = client_context();
    context.set_check_hostname(false);
    context.set_verify_mode(CERT_NONE);
    auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server), {.ssl = context}));
    writer.close();
    await(writer.wait_closed());
    end(server);
  });
}

// ---- faults -----------------------------------------------------------------------------------------------

TEST(TlsFaults, ASilentPeerEndsTheHandshakeAfterItsTime) {
  run_in_loop([] {
    auto [ours, theirs] = socketpair();
    const TimePoint begin = get_running_loop().time();
    const std::string text = thrown<std::system_error>([&, socket = ours] {
      await(open_connection(socket, {.ssl = client_context(), .server_hostname = "localhost"}));
    });
    EXPECT_EQ(text.rfind("SSL handshake is taking longer than 60.0 seconds: aborting the connection", 0), 0U)
        << text;
    EXPECT_EQ(get_running_loop().time() - begin, 60s);
  });
}

TEST(TlsFaults, APeerThatDoesNotAnswerTheClosingMessageEndsItAfterItsTime) {
  run_in_loop([] {
    Ends ends = tls_pair();
    ends.peer_writer.transport().pause_reading();
    const TimePoint begin = get_running_loop().time();
    ends.writer.close();
    EXPECT_EQ(thrown<TimeoutError>([&] { await(ends.writer.wait_closed()); }), "SSL shutdown timed out");
    EXPECT_EQ(get_running_loop().time() - begin, 30s);
    ends.peer_writer.transport().abort();
    await(sleep(0s));
  });
}

TEST(TlsFaults, ACutConnectionIsNoEndOfTheStream) {
  run_in_loop([] {
    Ends ends = tls_pair();
    ::shutdown(ends.peer_writer.get_extra_info(extra_info::socket)->fd(), SHUT_WR);
    EXPECT_EQ(thrown<SSLEOFError>([&] { await(ends.reader.read()); }).find("[SSL: UNEXPECTED_EOF"), 0U);
    ends.peer_writer.transport().abort();
    await(sleep(0s));
  });
}

TEST(TlsFaults, APeerThatLeavesInTheHandshakeIsAReset) {
  run_in_loop([] {
    auto [ours, theirs] = socketpair();
    ::shutdown(theirs.fd(), SHUT_WR);
    const std::string text = thrown<std::system_error>([&, socket = ours] {
      await(open_connection(socket, {.ssl = client_context(), .server_hostname = "localhost"}));
    });
    EXPECT_NE(text.find("during the TLS handshake"), std::string::npos) << text;
  });
}

TEST(TlsFaults, APeerWithoutTlsIsAnError) {
  run_in_loop([] {
    auto [ours, theirs] = socketpair();
    EXPECT_EQ(::write(theirs.fd(), "HTTP/1.0 400 Bad\r\n", 18), 18);
    EXPECT_EQ(thrown<SSLError>([&, socket = ours] {
                await(open_connection(socket, {.ssl = client_context(), .server_hostname = "localhost"}));
              }),
              "[SSL: WRONG_VERSION_NUMBER] wrong version number");
  });
}

TEST(TlsFaults, ACancelledHandshakeLeavesNoDescriptor) {
  const auto before = open_descriptors();
  run_in_loop([] {
    auto [ours, theirs] = socketpair();
    auto task = create_task([socket = ours] {
      await(open_connection(socket, {.ssl = client_context(), .server_hostname = "localhost"}));
    });
    ours = {};
    testing::wait_all_tasks_blocked();
    task.cancel();
    await(ended(task));
    EXPECT_TRUE(task.cancelled());
  });
  EXPECT_EQ(open_descriptors(), before);
}

TEST(TlsFaults, ALoopThatClosesWithOpenConnectionsLeavesNoDescriptor) {
  set_log_sink([](LogLevel, std::string_view) {});
  const auto leave_all_open = [] {
    run_in_loop([] {
      Ends ends = tls_pair();
      auto [ours, theirs] = socketpair();
      auto in_handshake = create_task([socket = ours] {
        await(open_connection(socket, {.ssl = client_context(), .server_hostname = "localhost"}));
      });
      testing::wait_all_tasks_blocked();
      std::move(in_handshake).detach();
    });
  };
  leave_all_open();  // its reports open files for the names of functions, which stay open
  const auto before = open_descriptors();
  leave_all_open();
  EXPECT_EQ(open_descriptors(), before);
  set_log_sink({});
}

// ---- the end ----------------------------------------------------------------------------------------------

TEST(TlsEnd, IsAMessageInEachDirection) {
  run_in_loop([] {
    Ends ends = tls_pair();
    ends.writer.write("last");
    ends.writer.close();
    EXPECT_EQ(await(ends.peer_reader.read()), "last");
    await(ends.peer_writer.wait_closed());
    await(ends.writer.wait_closed());
    EXPECT_EQ(await(ends.reader.read()), "");
  });
}

TEST(TlsEnd, ComesBehindEverythingThatWasWritten) {
  run_in_loop([] {
    Ends ends = tls_pair();
    ends.writer.write(std::string(5'000'000, 'x'));
    ends.writer.close();
    EXPECT_EQ(await(ends.peer_reader.read()).size(), 5'000'000U);
    await(ends.writer.wait_closed());
  });
}

TEST(TlsEnd, OfOneDirectionIsNotThere) {
  run_in_loop([] {
    Ends ends = tls_pair();
    EXPECT_FALSE(ends.writer.can_write_eof());
    EXPECT_THROW(ends.writer.write_eof(), RuntimeError);
    ends.writer.close();
    await(ends.writer.wait_closed());
  });
}

TEST(TlsEnd, ByTheServerIsRegularForItsClients) {
  run_in_loop([] {
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = server_context()}));
    auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server), {.ssl = client_context()}));
    writer.write("a\n");
    EXPECT_EQ(await(reader.readline()), "a\n");
    server.close_clients();
    EXPECT_EQ(await(reader.read()), "");
    end(server);
  });
}

// ---- what is known ----------------------------------------------------------------------------------------

TEST(TlsInfo, TellsVersionCipherAndCertificate) {
  run_in_loop([] {
    Ends ends = tls_pair();
    EXPECT_EQ(ends.writer.get_extra_info(extra_info::ssl_version), "TLSv1.3");
    EXPECT_EQ(ends.writer.get_extra_info(extra_info::cipher)->protocol, "TLSv1.3");
    EXPECT_EQ(ends.writer.get_extra_info(extra_info::alpn_protocol), std::nullopt);
    const Certificate certificate = *ends.writer.get_extra_info(extra_info::peercert);
    using Fields = std::vector<std::pair<std::string, std::string>>;
    EXPECT_EQ(certificate.subject, (Fields{{"commonName", "localhost"}}));
    EXPECT_EQ(certificate.issuer, (Fields{{"commonName", "Test Authority"}}));
    EXPECT_EQ(certificate.subject_alt_names, (Fields{{"DNS", "localhost"}, {"IP Address", "127.0.0.1"}}));
    EXPECT_EQ(certificate.version, 3);
    EXPECT_EQ(certificate.not_after - certificate.not_before, 25h);
    EXPECT_FALSE(certificate.der.empty());
    EXPECT_EQ(ends.peer_writer.get_extra_info(extra_info::peercert).has_value(), false);
    ends.writer.close();
    await(ends.writer.wait_closed());
  });
}

TEST(TlsInfo, TheServerChoosesAProtocol) {
  run_in_loop([] {
    const SslContext server_ssl = server_context();
    server_ssl.set_alpn_protocols({"h2", "http/1.1"});
    const SslContext client_ssl = client_context();
    client_ssl.set_alpn_protocols({"http/1.1", "h2"});
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = server_ssl}));
    auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server), {.ssl = client_ssl}));
    EXPECT_EQ(writer.get_extra_info(extra_info::alpn_protocol), "h2");
    writer.close();
    await(writer.wait_closed());
    end(server);
  });
}

TEST(TlsInfo, TheServerChoosesAContextByTheName) {
  run_in_loop([] {
    const SslContext other =
        server_context(Certificates::get().make({.name = "other", .alternative = "DNS:other.test"}).file);
    std::vector<std::optional<std::string>> names;
    const SslContext first = server_context();
    first.set_sni_callback([&](std::optional<std::string> name) {
      names.push_back(name);
      return name == "other.test" ? other : SslContext();
    });
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = first}));
    for (const char* name : {"other.test", "localhost"}) {
      auto [reader, writer] = await(
          open_connection("127.0.0.1", port_of(server), {.ssl = client_context(), .server_hostname = name}));
      writer.close();
      await(writer.wait_closed());
    }
    EXPECT_EQ(names, (std::vector<std::optional<std::string>>{"other.test", "localhost"}));
    end(server);
  });
}

TEST(TlsInfo, ANameBeyondAsciiIsToldAndCheckedAsTheDnsHasIt) {
  run_in_loop([] {
    const SslContext serving =
        server_context(Certificates::get().make({.alternative = "DNS:xn--bcher-kva.example"}).file);
    std::vector<std::optional<std::string>> names;
    serving.set_sni_callback([&](std::optional<std::string> name) {
      names.push_back(name);
      return SslContext();
    });
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = serving}));
    const auto connect = [&](std::string name) {
      return open_connection("127.0.0.1", port_of(server),
                             {.ssl = client_context(), .server_hostname = std::move(name)});
    };
    auto [reader, writer] = await(connect("b\u00fccher.example"));
    writer.close();
    await(writer.wait_closed());
    EXPECT_THROW(await(connect("b\u00e4cher.example")), SSLCertVerificationError);
    EXPECT_THROW(await(connect("b\xfc")), ValueError);
    EXPECT_THROW(await(connect(std::string("b\u00fccher.example\0.test", 21))), ValueError);
    EXPECT_EQ(names,
              (std::vector<std::optional<std::string>>{"xn--bcher-kva.example", "xn--bcher-gra.example"}));
    end(server);
  });
}

// A client that the callback refuses hears so; the server goes on, and reports the exception.
void refuse_by_name(const SslContext::SniCallback& callback, const std::string& expected) {
  for (const TLSVersion version : {TLSVersion::TLSv1_2, TLSVersion::TLSv1_3}) {
    const SslContext serving = server_context();
    serving.set_sni_callback([&](std::optional<std::string> name) {
      return name == "refused.test" ? callback(std::move(name)) : SslContext();
    });
    const SslContext client = client_context();
    client.set_maximum_version(version);
    run_in_loop([&] {
      std::vector<std::string> reported;
      get_running_loop().set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
        try {
          std::rethrow_exception(context.exception);
        } catch (const std::exception& error) {
          reported.push_back(error.what());
        }
      });
      Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = serving}));
      EXPECT_TRUE(has(thrown<SSLError>([&] {
                        await(open_connection("127.0.0.1", port_of(server),
                                              {.ssl = client, .server_hostname = "refused.test"}));
                      }),
                      "alert handshake failure"));
      EXPECT_EQ(reported, std::vector{expected});
      auto [reader, writer] = await(
          open_connection("127.0.0.1", port_of(server), {.ssl = client, .server_hostname = "localhost"}));
      writer.close();
      await(writer.wait_closed());
      end(server);
    });
  }
}
TEST(TlsInfo, TheServerRefusesAClientByTheName) {
  refuse_by_name(
      [](const std::optional<std::string>& name) -> SslContext { throw ValueError("not " + *name); },
      "not refused.test");
  refuse_by_name([](const std::optional<std::string>&) { return client_context(); },
                 "Cannot create a server connection with a context for clients: make it with .purpose = "
                 "Purpose::CLIENT_AUTH");
}

TEST(TlsInfo, WithoutACommonProtocolThereIsNone) {
  run_in_loop([] {
    const SslContext server_ssl = server_context();
    server_ssl.set_alpn_protocols({"h2"});
    const SslContext client_ssl = client_context();
    client_ssl.set_alpn_protocols({"http/1.1"});
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = server_ssl}));
    auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server), {.ssl = client_ssl}));
    EXPECT_EQ(writer.get_extra_info(extra_info::alpn_protocol), std::nullopt);
    writer.close();
    await(writer.wait_closed());
    end(server);
  });
}

// ---- in mid-stream ----------------------------------------------------------------------------------------

TEST(TlsStart, ChangesBothEndsInMidStream) {
  run_in_loop([] {
    Server server = await(start_server(
        [](StreamReader reader, StreamWriter writer) {
          EXPECT_EQ(await(reader.readline()), "STARTTLS\n");
          writer.write("OK\n");
          await(writer.start_tls(server_context()));
          writer.write("secret " + await(reader.readline()));
          await(writer.drain());
          writer.close();
        },
        "127.0.0.1", 0));
    auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server)));
    writer.write("STARTTLS\n");
    EXPECT_EQ(await(reader.readline()), "OK\n");
    await(writer.start_tls(client_context(), {.server_hostname = "localhost"}));
    EXPECT_EQ(writer.get_extra_info(extra_info::ssl_version), "TLSv1.3");
    writer.write("line\n");
    EXPECT_EQ(await(reader.read()), "secret line\n");
    end(server);
  });
}

TEST(TlsStart, TakesTheHelloThatTheReaderHasAlready) {
  run_in_loop([] {
    auto [ours, theirs] = socketpair();
    auto [peer_reader, peer_writer] = await(open_connection(theirs));
    auto client = create_task([socket = ours] {
      return await(open_connection(socket, {.ssl = client_context(), .server_hostname = "localhost"}));
    });
    while (peer_reader.state()->buffer.empty()) await(sleep(0s));
    await(peer_writer.start_tls(server_context(), {.server_side = true}));
    auto [reader, writer] = await(client);
    writer.write("x\n");
    EXPECT_EQ(await(peer_reader.readline()), "x\n");
    writer.close();
    await(writer.wait_closed());
  });
}

TEST(TlsStart, ThatFailsEndsTheConnection) {
  run_in_loop([] {
    auto [ours, theirs] = socketpair();
    auto [reader, writer] = await(open_connection(ours));
    EXPECT_EQ(::write(theirs.fd(), "no TLS at all\n", 14), 14);
    EXPECT_THROW(await(writer.start_tls(client_context(), {.server_hostname = "localhost"})), SSLError);
    EXPECT_THROW(await(reader.read()), SSLError);
    EXPECT_THROW(await(writer.wait_closed()), SSLError);
  });
}

TEST(TlsProtocols, AreServedThroughTheLoop) {
  struct Line : Protocol {
    Transport transport;
    std::string got;
    Future<void> lost = get_running_loop().create_future<void>();
    bool server = false;
    void connection_made(Transport made) override {
      transport = made;
      if (!server) transport.write("ping");
    }
    void data_received(std::string_view data) override {
      got += data;
      if (server) transport.write(data);
      if (!server) transport.close();
    }
    void connection_lost(std::exception_ptr error) override {
      EXPECT_EQ(error, nullptr);
      lost.set_result();
    }
  };
  run_in_loop([] {
    EventLoop& loop = get_running_loop();
    auto accepted = std::make_shared<Line>();
    accepted->server = true;
    Server server =
        await(loop.create_server([&] { return accepted; }, "127.0.0.1", 0, {.ssl = server_context()}));
    auto [transport, protocol] = await(loop.create_connection(
        [] { return std::make_shared<Line>(); }, "127.0.0.1", port_of(server), {.ssl = client_context()}));
    await(protocol->lost);
    await(accepted->lost);
    EXPECT_EQ(protocol->got, "ping");
    end(server);
  });
}

TEST(TlsProtocols, AreServedThroughTheLoopOnAUnixSocket) {
  struct Shout : Protocol {
    Transport transport;
    void connection_made(Transport made) override { transport = made; }
    void data_received(std::string_view data) override { transport.write(std::string(data) + "!"); }
  };
  struct Hear : Protocol {
    std::string got;
    Future<std::string> done = get_running_loop().create_future<std::string>();
    void data_received(std::string_view data) override {
      got += data;
      if (got == "ping!" && !done.done()) done.set_result(got);
    }
  };
  const std::string path = Certificates::get().folder() + "/socket";
  const auto fiber = [&] {
    EventLoop& loop = get_running_loop();
    const SslContext client = client_context();
    Server server = await(
        loop.create_unix_server([] { return std::make_shared<Shout>(); }, path, {.ssl = server_context()}));
    auto [transport, hear] = await(loop.create_unix_connection(
        [] { return std::make_shared<Hear>(); }, path, {.ssl = client, .server_hostname = "localhost"}));
    transport.write("ping");
    EXPECT_EQ(await(hear->done), "ping!");
    EXPECT_EQ(transport.get_extra_info(extra_info::ssl_version), "TLSv1.3");
    const SslSession session = transport.get_extra_info(extra_info::ssl_session).value();
    transport.close();
    auto [second, hears] = await(
        loop.create_unix_connection([] { return std::make_shared<Hear>(); }, path,
                                    {.ssl = client, .server_hostname = "localhost", .ssl_session = session}));
    EXPECT_EQ(second.get_extra_info(extra_info::ssl_session_reused), true);
    second.close();
    EXPECT_TRUE(has(thrown<SSLCertVerificationError>([&] {
                      await(loop.create_unix_connection([] { return std::make_shared<Hear>(); }, path,
                                                        {.ssl = client, .server_hostname = "example.org"}));
                    }),
                    "Hostname mismatch"));
    end(server);
  };
  run_in_loop(fiber);
  run_in_loop([&]() -> Coro<void> {
    EventLoop& loop = get_running_loop();
    const CreateUnixServerOptions of_server{.ssl = server_context(), .backlog = 5, .start_serving = false};
    const CreateUnixConnectionOptions of_client{.ssl = client_context(), .server_hostname = "localhost"};
    Server server =
        co_await loop.create_unix_server([] { return std::make_shared<Shout>(); }, path, of_server);
    EXPECT_FALSE(server.is_serving());
    co_await server.start_serving();
    auto [transport, hear] =
        co_await loop.create_unix_connection([] { return std::make_shared<Hear>(); }, path, of_client);
    transport.write("ping");
    std::string answer = co_await hear->done;
    EXPECT_EQ(answer, "ping!");
    transport.close();
    server.close();
    co_await server.wait_closed();
  });
}

TEST(TlsProtocols, OnAUnixSocketNeedTheOptionsOfTls) {
  run_in_loop([] {
    EventLoop& loop = get_running_loop();
    // Each before the connection: nobody listens.
    const auto error = [&](CreateUnixConnectionOptions options) {
      return thrown<ValueError>([&] {
        await(loop.create_unix_connection([] { return std::make_shared<Protocol>(); }, "/nowhere/socket",
                                          options));
      });
    };
    EXPECT_EQ(error({.ssl = client_context()}), "You must set server_hostname when using ssl without a host");
    EXPECT_EQ(error({.server_hostname = "x"}), "server_hostname is only meaningful with ssl");
    EXPECT_EQ(error({.ssl_handshake_timeout = 1s}), "ssl_handshake_timeout is only meaningful with ssl");
    EXPECT_EQ(error({.ssl_shutdown_timeout = 1s}), "ssl_shutdown_timeout is only meaningful with ssl");
    EXPECT_TRUE(has(error({.ssl = server_context(), .server_hostname = "x"}),
                    "Cannot create a client connection with a context for servers"));
    const std::string path = Certificates::get().folder() + "/refused";
    EXPECT_EQ(thrown<ValueError>([&] {
                await(loop.create_unix_server([] { return std::make_shared<Protocol>(); }, path,
                                              {.ssl_handshake_timeout = 1s}));
              }),
              "ssl_handshake_timeout is only meaningful with ssl");
    EXPECT_EQ(
        thrown<ValueError>([&] {
          await(loop.create_unix_server([] { return std::make_shared<Protocol>(); }, path, {.backlog = 0}));
        }),
        "backlog must be at least 1, not 0");
  });
}

// The first of two connections closes the second, for which bytes wait, while it looks at its own.
TEST(TlsProtocols, ACloseInACallLeavesTheBytesOfTheCallAlone) {
  struct Reader : Protocol {
    Transport transport;
    Transport to_close;
    std::string seen;
    void connection_made(Transport made) override { transport = made; }
    void data_received(std::string_view data) override {
      if (to_close.valid()) to_close.close();
      seen += data;
    }
  };
  run_in_loop([] {
    EventLoop& loop = get_running_loop();
    std::vector<StreamWriter> peers;
    Server server = await(start_server(
        [&](StreamReader reader, StreamWriter writer) {
          peers.push_back(writer);
          await(reader.read());
        },
        "127.0.0.1", 0, {.ssl = server_context()}));
    const auto connect = [&] {
      return await(loop.create_connection([] { return std::make_shared<Reader>(); }, "127.0.0.1",
                                          port_of(server), {.ssl = client_context()}));
    };
    const auto [first, first_reader] = connect();
    const auto [second, second_reader] = connect();
    while (peers.size() < 2) await(sleep(1ms));
    second.pause_reading();
    peers[1].write(std::string(1000, 'b'));
    for (int i = 0; i < 20; ++i) await(sleep(1ms));
    first_reader->to_close = second;
    peers[0].write(std::string(1000, 'a'));
    while (first_reader->seen.size() < 1000) await(sleep(1ms));
    EXPECT_EQ(first_reader->seen, std::string(1000, 'a'));
    EXPECT_EQ(second_reader->seen, "");
    first.abort();
    server.abort_clients();
    end(server);
  });
}

// ---- bad input --------------------------------------------------------------------------------------------

TEST(TlsOptions, WithoutAContextAreErrors) {
  run_in_loop([] {
    EXPECT_EQ(thrown<ValueError>([] { await(open_connection("127.0.0.1", 1, {.server_hostname = "x"})); }),
              "server_hostname is only meaningful with ssl");
    EXPECT_EQ(
        thrown<ValueError>([] { await(open_connection("127.0.0.1", 1, {.ssl_handshake_timeout = 1s})); }),
        "ssl_handshake_timeout is only meaningful with ssl");
    EXPECT_EQ(
        thrown<ValueError>([] { await(start_server(echo, "127.0.0.1", 0, {.ssl_shutdown_timeout = 1s})); }),
        "ssl_shutdown_timeout is only meaningful with ssl");
    EXPECT_EQ(
        thrown<ValueError>([] {
          await(open_connection("127.0.0.1", 1, {.ssl = client_context(), .ssl_handshake_timeout = -1s}));
        }),
        "ssl_handshake_timeout should be a positive number, got -1");
    EXPECT_EQ(
        thrown<ValueError>([] { await(open_connection(socketpair().first, {.ssl = client_context()})); }),
        "You must set server_hostname when using ssl without a host");
    EXPECT_THROW(await(open_connection("127.0.0.1", 1, {.ssl = server_context()})), SSLError);
    EXPECT_THROW(await(start_server(echo, "127.0.0.1", 0, {.ssl = client_context()})), SSLError);
  });
}

TEST(TlsContext, TellsWhatIsWrongWithItsFiles) {
  const SslContext context = SslContext::create_default_context({.purpose = Purpose::CLIENT_AUTH});
  try {
    context.load_cert_chain("/nowhere/cert.pem");
    ADD_FAILURE();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOENT);
    EXPECT_NE(std::string(error.what()).find("/nowhere/cert.pem"), std::string::npos);
  }
  const std::string broken = Certificates::get().folder() + "/broken.pem";
  std::ofstream(broken) << "no certificate\n";
  EXPECT_NE(thrown<SSLError>([&] { context.load_cert_chain(broken); }).find("no start line"),
            std::string::npos);
  EXPECT_THROW(context.load_verify_locations(""), ValueError);
  EXPECT_THROW(context.load_verify_locations("", "", "rubbish"), SSLError);
  EXPECT_THROW(context.set_alpn_protocols({}), ValueError);
  EXPECT_THROW(context.set_alpn_protocols({std::string(256, 'x')}), ValueError);
  EXPECT_THROW(context.set_ciphers("none-such"), SSLError);
  EXPECT_THROW(SslContext().load_default_certs(), RuntimeError);
}

// ---- the own key ------------------------------------------------------------------------------------------

SslContext empty_server_context() {
  return SslContext::create_default_context({.purpose = Purpose::CLIENT_AUTH});
}
// The error of loading the server's certificate with this key.
template <class E = SSLError>
std::string load_error(const std::string& key_file, const std::string& password = {}) {
  return thrown<E>(
      [&] { empty_server_context().load_cert_chain(Certificates::get().server(), key_file, password); });
}
TEST(TlsKey, ThatIsEncryptedIsLoadedWithItsPassword) {
  Certificates& all = Certificates::get();
  const Certificates::Made made = all.make({});
  const std::string key = all.encrypted_key(made, "open sesame");
  const SslContext serving = empty_server_context();
  serving.load_cert_chain(made.file, key, "open sesame");
  run_in_loop([&] {
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = serving}));
    auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server), {.ssl = client_context()}));
    writer.write("x\n");
    EXPECT_EQ(await(reader.readline()), "x\n");
    writer.close();
    await(writer.wait_closed());
    end(server);
  });
}

TEST(TlsKey, ThatIsEncryptedIsRefusedWithAnotherPasswordOrNone) {
  Certificates& all = Certificates::get();
  const std::string key = all.encrypted_key(all.server_certificate(), "open sesame");
  EXPECT_EQ(load_error(key, "open sesame"), "nothing");
  // OpenSSL's reason is not compared: for one salt in 256 the padding looks right, and what comes out is no
  // key.
  EXPECT_TRUE(has(load_error(key, "open barley"), "cannot use the private key '" + key + "'"));
  EXPECT_TRUE(has(load_error(key, ""), "it is encrypted, and there is no password"));
  EXPECT_EQ(load_error<ValueError>(key, std::string(1025, 'x')), "password cannot be longer than 1024 bytes");
  // A key that is not encrypted needs none.
  EXPECT_EQ(load_error(all.server(), "open sesame"), "nothing");
}

TEST(TlsKey, OfAnotherCertificateIsRefused) {
  Certificates& all = Certificates::get();
  const std::string other = all.make({}).file;
  EXPECT_EQ(load_error(other),
            "cannot use the private key '" + other + "': [X509: KEY_VALUES_MISMATCH] key values mismatch");
}

TEST(TlsKey, ThatIsBrokenOrMissingIsRefused) {
  Certificates& all = Certificates::get();
  const std::string server = all.server();
  EXPECT_TRUE(has(load_error<std::system_error>("/nowhere/key.pem"), "/nowhere/key.pem"));
  EXPECT_TRUE(has(load_error<std::system_error>("/nowhere/key.pem"), "No such file or directory"));
  // Files cut short: of nothing, without a key, in the middle of the key; and one with other letters in it.
  const std::string whole = read_file(server);
  const std::size_t key_at = whole.find("-----BEGIN PRIVATE KEY-----");
  ASSERT_NE(key_at, std::string::npos);
  const std::string broken = all.folder() + "/broken_key.pem";
  std::string other_letters = whole;
  other_letters.replace(key_at + 60, 20, "********************");
  for (const std::string& text : {std::string(), whole.substr(0, key_at), whole.substr(0, key_at + 60),
                                  whole.substr(0, whole.size() - 40), other_letters}) {
    std::ofstream(broken, std::ios::trunc) << text;
    EXPECT_TRUE(has(load_error(broken), "cannot use the private key '" + broken + "': ["));
    const std::string error = thrown<SSLError>([&] { empty_server_context().load_cert_chain(broken); });
    EXPECT_TRUE(has(error, broken + "': ["));
  }
  EXPECT_THROW(empty_server_context().load_cert_chain(server, std::string("a\0b", 3)), ValueError);
  EXPECT_THROW(empty_server_context().load_cert_chain(""), ValueError);
}

TEST(TlsKey, MayBeOfAChain) {
  // The chain is the server's certificate and that of an authority between.
  Certificates& all = Certificates::get();
  const Certificates::Made between = all.make({.name = "Between", .alternative = "", .authority = true});
  const Certificates::Made leaf = all.make({.signed_by = &between});
  const std::string chain = all.folder() + "/chain.pem";
  std::ofstream(chain) << read_file(leaf.file) << read_file(between.file);
  EXPECT_EQ(
      refused<SSLError>(server_context(leaf.file), client_context()),
      "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate");
  run_in_loop([&] {
    Server server = await(start_server(echo, "127.0.0.1", 0, {.ssl = server_context(chain)}));
    auto [reader, writer] = await(open_connection("127.0.0.1", port_of(server), {.ssl = client_context()}));
    writer.close();
    await(writer.wait_closed());
    end(server);
  });
}

TEST(TlsContext, HasSafeDefaults) {
  const SslContext client = client_context();
  EXPECT_EQ(client.verify_mode(), CERT_REQUIRED);
  EXPECT_TRUE(client.check_hostname());
  EXPECT_EQ(client.minimum_version(), TLSVersion::TLSv1_2);
  EXPECT_THROW(client.set_verify_mode(CERT_NONE), ValueError);
  EXPECT_EQ(server_context().verify_mode(), CERT_NONE);
}

}  // namespace
}  // namespace aiofiber
