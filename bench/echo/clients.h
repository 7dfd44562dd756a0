// SPDX-License-Identifier: Apache-2.0
//
// The load generator: connections that each send a message, wait for its whole echo, and send the next.
//
// One thread, and no call blocks after the connections are made, so messages may be larger than the buffers
// of sockets. With `tls` the connections are encrypted; who the server is, is not checked.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "latency.h"
#include "server_process.h"

namespace echo {

using Clock = std::chrono::steady_clock;

struct Load {
  int connections = 64;
  std::size_t message_bytes = 64;
  bool tls = false;
  Clock::duration warm_up = std::chrono::milliseconds(200);
  Clock::duration measured = std::chrono::seconds(1);
  int rounds = 7;
};

class Clients {
 public:
  Clients(const sockaddr_in& server, const Load& load)
      : message_(load.message_bytes, 'x'), buffer_(256 * 1024), tls_(nullptr, SSL_CTX_free) {
    message_.back() = '\n';  // for servers that echo lines
    if (load.tls) {
      tls_.reset(SSL_CTX_new(TLS_client_method()));
      SSL_CTX_set_mode(tls_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    epoll_ = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    add(server, load.connections);
  }
  ~Clients() {
    for (const auto& connection : connections_) {
      SSL_free(connection->ssl);
      close(connection->fd);
    }
    close(epoll_);
  }
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

  // More connections, each with its first message sent.
  void add(const sockaddr_in& server, int count) {
    for (int i = 0; i < count; ++i) {
      auto connection = std::make_unique<Connection>();
      connection->fd = checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
      checked(connect(connection->fd, reinterpret_cast<const sockaddr*>(&server), sizeof server), "connect");
      set_no_delay(connection->fd);
      if (tls_ != nullptr) {
        connection->ssl = SSL_new(tls_.get());
        SSL_set_fd(connection->ssl, connection->fd);
        if (SSL_connect(connection->ssl) != 1) throw std::runtime_error("the TLS handshake failed");
      }
      set_nonblocking(connection->fd);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = connection.get();
      checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, connection->fd, &event), "epoll_ctl");
      begin_message(*connection);
      connections_.push_back(std::move(connection));
    }
  }

  // Answers each echo with the next message; returns how many echoes came whole until `end`.
  std::uint64_t run_until(Clock::time_point end, Latencies* latencies = nullptr) {
    latencies_ = latencies;
    std::uint64_t echoes = 0;
    while (Clock::now() < end) echoes += run_once(true);
    return echoes;
  }
  // Waits for all echoes that are under way, and sends nothing more.
  void settle() {
    while (std::any_of(connections_.begin(), connections_.end(),
                       [](const auto& connection) { return connection->is_under_way; }))
      run_once(false);
  }

 private:
  struct Connection {
    int fd = -1;
    SSL* ssl = nullptr;
    std::size_t sent = 0, received = 0;  // of the message under way
    bool is_under_way = false;
    bool waits_for_room = false;
    Clock::time_point said;
  };

  std::uint64_t run_once(bool says_more) {
    std::array<epoll_event, 256> events;
    const int count =
        checked(epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 5000), "epoll_wait");
    if (count == 0) throw std::runtime_error("the server has not answered for five seconds");
    std::uint64_t echoes = 0;
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      auto& connection = *static_cast<Connection*>(event.data.ptr);
      if ((event.events & EPOLLOUT) != 0) send_rest(connection);
      if ((event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0)
        echoes += receive_some(connection, says_more);
    }
    return echoes;
  }

  void begin_message(Connection& connection) {
    connection.sent = connection.received = 0;
    connection.is_under_way = true;
    if (latencies_ != nullptr) connection.said = Clock::now();
    send_rest(connection);
  }

  void send_rest(Connection& connection) {
    while (connection.sent < message_.size()) {
      const char* const bytes = message_.data() + connection.sent;
      const std::size_t left = message_.size() - connection.sent;
      ssize_t count;
      if (connection.ssl != nullptr) {
        count = SSL_write(connection.ssl, bytes, static_cast<int>(left));
        if (count <= 0) check_for_now(connection, static_cast<int>(count));
      } else {
        count = write(connection.fd, bytes, left);
        if (count < 0 && errno != EAGAIN) fail("write");
      }
      if (count <= 0) break;
      connection.sent += static_cast<std::size_t>(count);
    }
    const bool waits = connection.sent < message_.size();
    if (waits == connection.waits_for_room) return;
    connection.waits_for_room = waits;
    epoll_event event{};
    event.events = waits ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.ptr = &connection;
    checked(epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event), "epoll_ctl");
  }

  bool receive_some(Connection& connection, bool says_more) {
    do {
      ssize_t count;
      if (connection.ssl != nullptr) {
        count = SSL_read(connection.ssl, buffer_.data(), static_cast<int>(buffer_.size()));
        if (count <= 0) {
          check_for_now(connection, static_cast<int>(count));
          return false;
        }
      } else {
        count = read(connection.fd, buffer_.data(), buffer_.size());
        if (count <= 0) fail("a connection ended");
      }
      // The echo of the message under way, and nothing behind it.
      const char* const expected = message_.data() + connection.received;
      const auto size = static_cast<std::size_t>(count);
      if (size > message_.size() - connection.received ||
          !std::equal(expected, expected + size, buffer_.data()))
        throw std::runtime_error("that is not what was sent");
      connection.received += size;
    } while (connection.ssl != nullptr && SSL_has_pending(connection.ssl) == 1);
    if (connection.received < message_.size()) return false;
    if (latencies_ != nullptr) {
      const auto took = Clock::now() - connection.said;
      latencies_->add(static_cast<std::uint64_t>(std::chrono::nanoseconds(took).count()));
    }
    connection.is_under_way = false;
    if (says_more) begin_message(connection);
    return true;
  }

  static void check_for_now(const Connection& connection, int result) {
    const int error = SSL_get_error(connection.ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
      throw std::runtime_error("a TLS connection ended");
  }

  std::string message_;
  std::vector<char> buffer_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> tls_;
  int epoll_ = -1;
  std::vector<std::unique_ptr<Connection>> connections_;
  Latencies* latencies_ = nullptr;
};

}  // namespace echo
