// SPDX-License-Identifier: Apache-2.0
//
// Small blocking programs for tests of simulations: they know sockets and nothing else.
#pragma once

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>

namespace aiofiber::testing::test {

// A descriptor that is closed at the end of its scope.
class Fd {
 public:
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_;
};

inline Fd listen_on(std::uint16_t port, int backlog = 16) {
  Fd listener(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener.get(), backlog) != 0)
    return Fd(-1);
  return listener;
}

// For each call on it; 0: no limit.
inline void limit(const Fd& fd, int seconds) {
  const timeval time{seconds, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

// -1 with errno; EHOSTUNREACH: the name has no address.
inline Fd connect_to(const char* host, std::uint16_t port, int seconds = 0) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host, std::to_string(port).c_str(), &hints, &list) != 0) {
    errno = EHOSTUNREACH;
    return Fd(-1);
  }
  Fd connection(::socket(list->ai_family, list->ai_socktype, 0));
  limit(connection, seconds);
  const bool connected = ::connect(connection.get(), list->ai_addr, list->ai_addrlen) == 0;
  const int error = errno;
  ::freeaddrinfo(list);
  errno = error;
  return connected ? std::move(connection) : Fd(-1);
}

inline bool send_text(const Fd& fd, const std::string& text) {
  return ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

// A line without its end. False: the connection ended or failed (errno; 0: ended).
inline bool read_line(const Fd& fd, std::string& line) {
  line.clear();
  for (char byte; true; line += byte) {
    errno = 0;
    if (::recv(fd.get(), &byte, 1, 0) != 1) return false;
    if (byte == '\n') return true;
  }
}

// Answers each line with the same line, one connection after the other. `seconds`: as for limit().
inline void echo_server(std::uint16_t port, int seconds = 0) {
  const Fd listener = listen_on(port);
  for (;;) {
    const Fd connection(::accept(listener.get(), nullptr, nullptr));
    if (!connection) return;
    limit(connection, seconds);
    std::string line;
    while (read_line(connection, line) && send_text(connection, line + "\n")) {
    }
  }
}

// A socket of IPv6 at this address of its machine; port 0: at any port.
inline Fd v6_socket(int type, const char* address, std::uint16_t port, bool only_v6 = false) {
  Fd made(::socket(AF_INET6, type, 0));
  const int yes = only_v6 ? 1 : 0;
  ::setsockopt(made.get(), IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
  sockaddr_in6 own{};
  own.sin6_family = AF_INET6;
  own.sin6_port = htons(port);
  ::inet_pton(AF_INET6, address, &own.sin6_addr);
  if (::bind(made.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) return Fd(-1);
  return made;
}

// Sends each datagram back to where it came from, until the socket fails. `seen` hears of each sender.
inline void echo_datagrams(const Fd& socket, const std::function<void(const sockaddr_storage&)>& seen = {}) {
  std::string buffer(65'536, '\0');
  for (;;) {
    sockaddr_storage from{};
    auto* const address = reinterpret_cast<sockaddr*>(&from);
    socklen_t length = sizeof from;
    const ssize_t count = ::recvfrom(socket.get(), buffer.data(), buffer.size(), 0, address, &length);
    if (count < 0) return;
    if (seen) seen(from);
    ::sendto(socket.get(), buffer.data(), static_cast<std::size_t>(count), 0, address, length);
  }
}

// What the server at the port answers; "": no answer. `seconds`: the limit of each call; 0: none.
inline std::string ask(const char* host, std::uint16_t port, const std::string& question, int seconds = 0) {
  const Fd connection = connect_to(host, port, seconds);
  std::string answer;
  return connection && send_text(connection, question + "\n") && read_line(connection, answer) ? answer : "";
}

}  // namespace aiofiber::testing::test
