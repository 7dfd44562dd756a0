// SPDX-License-Identifier: Apache-2.0
//
// Every call that waits for TLS, and everything that can happen to it meanwhile (torture.h): handshakes that
// are under way, reading, writing and closing messages. The peer is OpenSSL on the other socket, which the
// test moves by hand. OpenSSL's own memory does not fail, ours does.
// Labels: torture
#include <absl/cleanup/cleanup.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>

#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aiofiber/asyncio.h"
#include "facade/streams/torture.h"
#include "facade/tls/ends.h"

namespace aiofiber {
namespace {

using namespace torture;

// ---- the peer ---------------------------------------------------------------------------------------------

using Context = std::shared_ptr<SSL_CTX>;

Context make_peer_context(bool server) {
  // OpenSSL's writes raise it.
  static_cast<void>(::signal(SIGPIPE, SIG_IGN));
  Context context(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()), SSL_CTX_free);
  if (!server) return context;
  const char* const file = Certificates::get().server().c_str();
  EXPECT_EQ(SSL_CTX_use_certificate_chain_file(context.get(), file), 1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey_file(context.get(), file, SSL_FILETYPE_PEM), 1);
  SSL_CTX_set_num_tickets(context.get(), 0);
  return context;
}
SSL_CTX* peer_context(bool server) {
  static const Context contexts[] = {make_peer_context(false), make_peer_context(true)};
  return contexts[server ? 1 : 0].get();
}

// No call of it waits.
class Peer {
 public:
  Peer(int fd, bool server) : ssl_(SSL_new(peer_context(server)), SSL_free) {
    SSL_set_fd(ssl_.get(), fd);
    if (server) {
      SSL_set_accept_state(ssl_.get());
    } else {
      SSL_set_connect_state(ssl_.get());
    }
  }

  // Goes on with the handshake. True: it is done, or has failed.
  bool shake_hands() {
    const int result = SSL_do_handshake(ssl_.get());
    return result == 1 || SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ;
  }
  // Whether our side needs nothing but what is sent to be done with the handshake.
  bool answers() {
    return shake_hands() || (SSL_is_server(ssl_.get()) && BIO_number_written(SSL_get_wbio(ssl_.get())) > 0);
  }
  bool is_open() const { return SSL_is_init_finished(ssl_.get()) == 1; }
  void send(std::string_view text) {
    EXPECT_EQ(SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())),
              static_cast<int>(text.size()));
  }
  // What there is. The peer has memory: else the test would lose what it has read.
  std::string take() {
    const long left = std::exchange(allocations_left, 0);
    const absl::Cleanup again = [left] { allocations_left = left; };
    std::string all;
    char buffer[16 * 1024];
    int got;
    while ((got = SSL_read(ssl_.get(), buffer, sizeof buffer)) > 0)
      all.append(buffer, static_cast<std::size_t>(got));
    const int why = SSL_get_error(ssl_.get(), got);
    is_cut_ = why == SSL_ERROR_SSL || why == SSL_ERROR_SYSCALL;
    return all;
  }
  // The connection ended without a closing message.
  bool is_cut() const { return is_cut_; }
  void send_closing_message() { SSL_shutdown(ssl_.get()); }
  bool got_closing_message() {
    take();
    return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
  }

 private:
  const std::unique_ptr<SSL, void (*)(SSL*)> ssl_;
  bool is_cut_ = false;
};

// Keeps what came.
struct Noting final : Protocol {
  void data_received(std::string_view bytes) override { received += bytes; }
  void connection_lost(std::exception_ptr) override { is_lost = true; }
  std::string received;
  bool is_lost = false;
};

struct More {
  std::unique_ptr<Peer> peer;
  std::shared_ptr<Noting> protocol;
};
More& more(Bench& bench) {
  if (bench.more == nullptr) bench.more = std::make_shared<More>();
  return *std::static_pointer_cast<More>(bench.more);
}
Peer& peer(Bench& bench) { return *more(bench).peer; }
void make_peer(Bench& bench, bool server) {
  // Two short messages in a row are sent at once.
  if (bench.peer.family() != AF_UNIX) bench.peer.set_option(IPPROTO_TCP, TCP_NODELAY, 1);
  more(bench).peer = std::make_unique<Peer>(bench.peer.fd(), server);
}

// ---- handshakes -------------------------------------------------------------------------------------------

enum class Side { kClient, kServer };

SslContext context_of(Side side) {
  static const SslContext client = client_context(), server = server_context();
  return side == Side::kClient ? client : server;
}
StartTlsOptions options_of(Side side) {
  StartTlsOptions options{.server_side = side == Side::kServer};
  if (side == Side::kClient) options.server_hostname = "localhost";
  return options;
}

// The peer is at the other side of the handshake; a client begins.
void begin_handshake(Bench& bench, Side side) {
  make_peer(bench, side == Side::kClient);
  if (side == Side::kServer) {
    EXPECT_FALSE(peer(bench).shake_hands());
  }
}
void answer(Bench& bench) {
  EXPECT_TRUE(comes([&] { return peer(bench).answers(); }));
}
bool has_ended(const Socket& socket) {
  char some[4096];
  const ssize_t got = ::recv(socket.fd(), some, sizeof some, MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN);
}
// Takes what is left on the socket, up to the end.
void peer_sees_the_end(Bench& bench) {
  EXPECT_TRUE(comes([&] { return has_ended(bench.peer); }));
}

// A handshake that was broken off ends the connection; else both ways are open.
void stream_works(Bench& bench, const std::string& got) {
  if (got.empty()) {
    if (bench.writer) {
      EXPECT_TRUE(bench.writer->is_closing());
    }
    peer_sees_the_end(bench);
    return;
  }
  EXPECT_TRUE(comes([&] { return peer(bench).shake_hands(); }));
  ASSERT_TRUE(peer(bench).is_open());
  peer(bench).send("abc");
  EXPECT_EQ(await(bench.reader->readexactly(3)), "abc");
  bench.writer->write("xyz");
  std::string taken;
  EXPECT_TRUE(comes([&] { return (taken += peer(bench).take()) == "xyz"; })) << taken;
}
void transport_works(Bench& bench, const std::string& got) {
  const Noting& protocol = *more(bench).protocol;
  if (got.empty()) {
    EXPECT_TRUE(bench.transport->is_closing());
    peer_sees_the_end(bench);
    return;
  }
  EXPECT_TRUE(comes([&] { return peer(bench).shake_hands(); }));
  ASSERT_TRUE(peer(bench).is_open());
  peer(bench).send("abc");
  EXPECT_TRUE(comes([&] { return protocol.received == "abc"; })) << protocol.received;
  bench.transport->write("xyz");
  std::string taken;
  EXPECT_TRUE(comes([&] { return (taken += peer(bench).take()) == "xyz"; })) << taken;
}

Call handshake_call(Call made) {
  made.satisfy = answer;
  for (const char*& event : made.events) event = "gone";
  return made;
}

Coro<std::string> start_tls_on_loop(Bench& bench, Side side) {
  bench.transport = co_await bench.loop.start_tls(*bench.transport, more(bench).protocol, context_of(side),
                                                  options_of(side));
  co_return "encrypted";
}
void connect_transport(Bench& bench) {
  auto [ours, theirs] = connected_sockets(bench.wire);
  bench.peer = theirs;
  more(bench).protocol = std::make_shared<Noting>();
  bench.transport =
      await(bench.loop.create_connection([&bench] { return more(bench).protocol; }, std::move(ours))).first;
}

Table handshakes() {
  Table all;
  for (const Side side : {Side::kClient, Side::kServer}) {
    const bool client = side == Side::kClient;
    all.push_back(handshake_call(call(
        client ? "StreamWriter.start_tls of a client" : "StreamWriter.start_tls of a server",
        [side](Bench& bench) {
          connect(bench);
          begin_handshake(bench, side);
        },
        [side](Bench& b) { return b.writer->start_tls(context_of(side), options_of(side)); })));
    all.back().result = "done";
    all.back().check = stream_works;
    all.push_back(handshake_call(call(
        client ? "loop.start_tls of a client" : "loop.start_tls of a server",
        [side](Bench& bench) {
          connect_transport(bench);
          begin_handshake(bench, side);
        },
        [side](Bench& b) { return start_tls_on_loop(b, side); })));
    all.back().result = "encrypted";
    all.back().check = transport_works;
  }
  all.push_back(handshake_call(call(
      "open_connection(socket) with ssl",
      [](Bench& bench) {
        std::tie(bench.own, bench.peer) = connected_sockets(bench.wire);
        begin_handshake(bench, Side::kClient);
      },
      [](Bench& b) {
        return open_connection(std::exchange(b.own, Socket()),
                               {.ssl = context_of(Side::kClient), .server_hostname = "localhost"});
      })));
  all.back().result = "connected";
  all.back().check = stream_works;
  all.back().events[3] = all.back().events[4] = "*";  // nobody has it yet
  all.push_back(handshake_call(call(
      "open_connection with ssl",
      [](Bench& bench) {
        bench.own = Socket(::socket(AF_INET, SOCK_STREAM, 0));
        const SocketAddress any("127.0.0.1", 0);
        ASSERT_EQ(::bind(bench.own.fd(), any.data(), any.size()), 0);
        ASSERT_EQ(::listen(bench.own.fd(), 1), 0);
      },
      [](Bench& b) {
        return open_connection("127.0.0.1", b.own.port(), {.ssl = context_of(Side::kClient)});
      })));
  all.back().satisfy = [](Bench& bench) {
    if (!bench.peer.is_open()) {
      const long left = std::exchange(allocations_left, 0);  // the peer has memory
      int fd = -1;
      if (!comes([&] { return (fd = ::accept(bench.own.fd(), nullptr, nullptr)) >= 0; })) {
        EXPECT_TRUE(failed);  // it had no memory to connect
        allocations_left = left;
        return;
      }
      bench.peer = Socket(fd);  // no call on it waits
      begin_handshake(bench, Side::kClient);
      allocations_left = left;
    }
    answer(bench);
  };
  all.back().result = "connected";
  all.back().check = [](Bench& bench, const std::string& got) {
    if (bench.peer.is_open()) stream_works(bench, got);
  };
  all.back().events[0] = all.back().events[1] = all.back().events[2] = all.back().events[3] = "*";
  return all;
}

// ---- the open connection ----------------------------------------------------------------------------------

void connect_with_tls(Bench& bench) {
  connect(bench);
  begin_handshake(bench, Side::kClient);
  auto starting = create_task(bench.writer->start_tls(context_of(Side::kClient), options_of(Side::kClient)));
  EXPECT_TRUE(comes([&] { return peer(bench).shake_hands(); }));
  await(starting);
}
void tls_peer_sends(Bench& bench, std::string_view text) {
  peer(bench).send(text);
  bench.sent += text;
}
std::function<void(Bench&)> connected_with_tls_and(const char* text) {
  return [text](Bench& bench) {
    connect_with_tls(bench);
    if (*text == '\0') return;
    tls_peer_sends(bench, text);
    EXPECT_TRUE(comes([&] { return !bench.reader->state()->buffer.empty(); }));
  };
}
// All that is left, up to the peer's closing message.
std::string rest_of_tls(Bench& bench) {
  peer(bench).send_closing_message();
  auto reading = create_task([reader = *bench.reader] { return await(reader.read()); });
  EXPECT_TRUE(comes([&] { return reading.done(); }));
  return await(reading);
}
void nothing_is_lost_of_tls(Bench& bench, const std::string& got) {
  EXPECT_EQ(got + rest_of_tls(bench), bench.sent);
}

constexpr const char* kCut =
    "error: [SSL: UNEXPECTED_EOF_WHILE_READING] the connection ended without the peer's closing message: "
    "what came may be incomplete";

template <class Make>
Call tls_read_call(const char* name, const char* before, const char* result, const char* at_end, Make make) {
  Call made = call(name, connected_with_tls_and(before), make);
  made.satisfy = [](Bench& bench) { tls_peer_sends(bench, kMore); };
  made.result = result;
  made.check = nothing_is_lost_of_tls;
  made.events[0] = made.events[1] = kCut;
  made.events[2] = "gone";
  made.events[3] = at_end;
  made.events[4] = "-";  // the peer's closing message is awaited
  return made;
}

// A record needs memory: if there was none, the connection ends.
bool ended_for_memory(Bench& bench) { return failed && peer(bench).is_cut(); }

void all_arrives_by_tls(Bench& bench) {
  EXPECT_TRUE(comes([&] {
    bench.taken += peer(bench).take().size();
    return bench.taken >= bench.bytes || ended_for_memory(bench);
  })) << bench.taken;
  EXPECT_TRUE(bench.taken == bench.bytes || ended_for_memory(bench)) << bench.taken;
}
void fill_tls(Bench& bench) {
  connect_with_tls(bench);
  bench.writer->get_extra_info(extra_info::socket)->set_option(SOL_SOCKET, SO_SNDBUF, 4096);
  bench.bytes = 400'000;
  bench.writer->write(std::string(bench.bytes, 'x'));
}
void both_closing_messages(Bench& bench) {
  peer(bench).send_closing_message();
  EXPECT_TRUE(comes([&] { return peer(bench).got_closing_message() || ended_for_memory(bench); }));
}

Table open_connections() {
  Table all;
  all.push_back(tls_read_call("read(n) of TLS", "", kMore, "", [](Bench& b) { return b.reader->read(100); }));
  all.push_back(tls_read_call("readexactly of TLS", "ab", "abc\r\nd", "incomplete:ab",
                              [](Bench& b) { return b.reader->readexactly(6); }));
  all.push_back(
      tls_read_call("readline of TLS", "ab", "abc\r\n", "ab", [](Bench& b) { return b.reader->readline(); }));
  all.push_back(tls_read_call("read() of TLS", "ab", "ab", "ab", [](Bench& b) { return b.reader->read(); }));
  all.back().satisfy = [](Bench& bench) { peer(bench).send_closing_message(); };
  all.back().check = [](Bench& bench, const std::string& got) {
    EXPECT_EQ(rest_of_tls(bench), "");
    if (!got.empty()) {
      EXPECT_EQ(got, bench.sent);
    }
  };

  all.push_back(call("drain of TLS", fill_tls, [](Bench& b) { return b.writer->drain(); }));
  all.back().satisfy = all_arrives_by_tls;
  all.back().result = "done";
  all.back().check = [](Bench& bench, const std::string&) {
    all_arrives_by_tls(bench);
    await(bench.writer->drain());
  };
  all.back().events[0] = all.back().events[2] = "gone";
  all.back().events[1] = kCut;
  all.back().events[3] = "done";
  all.back().events[4] = "-";

  // The closing message is under way: the peer has not answered it.
  all.push_back(call(
      "wait_closed of TLS",
      [](Bench& bench) {
        connect_with_tls(bench);
        bench.writer->close();
      },
      [](Bench& b) { return b.writer->wait_closed(); }));
  all.back().satisfy = both_closing_messages;
  all.back().result = "done";
  all.back().check = [](Bench& bench, const std::string&) {
    both_closing_messages(bench);
    await(bench.writer->wait_closed());
  };
  all.back().events[0] = all.back().events[1] = all.back().events[2] = all.back().events[3] = "done";
  all.back().events[4] = "-";

  all.push_back(call(
      "wait_closed of what TLS has buffered",
      [](Bench& bench) {
        fill_tls(bench);
        bench.writer->close();
      },
      [](Bench& b) { return b.writer->wait_closed(); }));
  all.back().satisfy = [](Bench& bench) {
    all_arrives_by_tls(bench);
    both_closing_messages(bench);
  };
  all.back().result = "done";
  all.back().check = [](Bench& bench, const std::string&) {
    all_arrives_by_tls(bench);
    both_closing_messages(bench);
    await(bench.writer->wait_closed());
  };
  all.back().events[0] = all.back().events[2] = "gone";
  all.back().events[1] = all.back().events[4] = "-";
  all.back().events[3] = "done";
  return all;
}

const Table& all_calls() {
  static const Table all = [] {
    // Made once, before memory is short.
    for (const Side side : {Side::kClient, Side::kServer}) {
      context_of(side);
      peer_context(side == Side::kServer);
    }
    Table calls = handshakes();
    for (Call& each : open_connections()) calls.push_back(std::move(each));
    return calls;
  }();
  return all;
}

// ---- the cases --------------------------------------------------------------------------------------------

TEST(TlsTorture, ACallGivesItsResult) { gives_its_result(all_calls()); }
TEST(TlsTorture, ACancelledCallLeavesTheStreamUsableOrEndsIt) {
  leaves_the_stream_usable_when_cancelled(all_calls());
}
TEST(TlsTorture, ALimitEndsACall) { ends_at_a_limit(all_calls()); }
TEST(TlsTorture, ACallThatIsCancelledAsItsResultComesLosesNothing) {
  loses_nothing_when_cancelled_beside_its_result(all_calls());
}
TEST(TlsTorture, EachEventEndsACallAsInAsyncio) { ends_by_each_event(all_calls()); }
TEST(TlsTorture, ALoopThatClosesLeavesNothing) { leaves_nothing_in_a_loop_that_closes(all_calls()); }
TEST(TlsTorture, OneFailedAllocationInAHandshakeLeavesNothing) {
  leaves_nothing_after_a_failed_allocation(handshakes());
}
TEST(TlsTorture, OneFailedAllocationInAnOpenConnectionLeavesNothing) {
  leaves_nothing_after_a_failed_allocation(open_connections());
}

}  // namespace
}  // namespace aiofiber
