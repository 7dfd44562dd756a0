// SPDX-License-Identifier: Apache-2.0
//
// The blocking HTTP client. Plain POSIX: getaddrinfo, socket, connect, send, poll, recv.
#include "legacy_http.h"

#include <netdb.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace legacy {

namespace {

HttpError errno_error(const std::string& what) { return HttpError(what + ": " + std::strerror(errno)); }

class SocketCloser {
 public:
  explicit SocketCloser(int fd) : fd_(fd) {}
  ~SocketCloser() { ::close(fd_); }
  SocketCloser(const SocketCloser&) = delete;
  SocketCloser& operator=(const SocketCloser&) = delete;

 private:
  int fd_;
};

class AddressList {
 public:
  AddressList(const std::string& host, const std::string& port) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &first_);
    if (error == EAI_SYSTEM) throw errno_error("cannot resolve " + host);
    if (error != 0) throw HttpError("cannot resolve " + host + ": " + ::gai_strerror(error));
  }
  ~AddressList() { ::freeaddrinfo(first_); }
  AddressList(const AddressList&) = delete;
  AddressList& operator=(const AddressList&) = delete;
  const addrinfo* first() const { return first_; }

 private:
  addrinfo* first_ = nullptr;
};

// The value of a header in the head of a response; empty if it is missing.
std::string_view header_value(std::string_view head, std::string_view name) {
  for (std::size_t line = head.find("\r\n"); line != std::string_view::npos; line = head.find("\r\n", line)) {
    line += 2;
    const std::string_view rest = head.substr(line);
    if (rest.size() <= name.size() || rest[name.size()] != ':') continue;
    if (::strncasecmp(rest.data(), name.data(), name.size()) != 0) continue;
    std::string_view value = rest.substr(name.size() + 1);
    value = value.substr(0, value.find("\r\n"));
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    return value;
  }
  return {};
}

// One read with a time limit. 0: the server closed the connection.
std::size_t receive_some(int socket_fd, char* buffer, std::size_t size, int timeout_ms) {
  for (;;) {
    pollfd entry{socket_fd, POLLIN, 0};
    const int ready = ::poll(&entry, 1, timeout_ms);
    if (ready == 0) throw HttpError("no answer within " + std::to_string(timeout_ms) + " ms");
    if (ready < 0) {
      if (errno == EINTR) continue;
      throw errno_error("poll");
    }
    const ssize_t n = ::recv(socket_fd, buffer, size, 0);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR) throw errno_error("recv");
  }
}

}  // namespace

int connect_to(const std::string& host, const std::string& port) {
  const AddressList addresses(host, port);
  int error = 0;
  for (const addrinfo* a = addresses.first(); a != nullptr; a = a->ai_next) {
    const int fd = ::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd >= 0 && ::connect(fd, a->ai_addr, a->ai_addrlen) == 0) return fd;
    error = errno;
    if (fd >= 0) ::close(fd);
  }
  errno = error;
  throw errno_error("cannot connect to " + host + ":" + port);
}

void send_all(int socket_fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = ::send(socket_fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw errno_error("send");
    data.remove_prefix(static_cast<std::size_t>(n));
  }
}

Response read_response(int socket_fd, int timeout_ms) {
  std::string data;
  std::size_t head_end = std::string::npos;
  std::size_t expected = std::string::npos;  // total bytes, once the head has come and contains the length
  char buffer[8192];
  while (data.size() < expected) {
    const std::size_t n = receive_some(socket_fd, buffer, sizeof buffer, timeout_ms);
    if (n == 0) break;
    data.append(buffer, n);
    if (head_end != std::string::npos || (head_end = data.find("\r\n\r\n")) == std::string::npos) continue;
    const std::string_view length =
        header_value(std::string_view(data).substr(0, head_end + 2), "Content-Length");
    std::size_t body_size = 0;
    const auto parsed = std::from_chars(length.data(), length.data() + length.size(), body_size);
    if (!length.empty() && parsed.ec == std::errc()) expected = head_end + 4 + body_size;
  }
  if (head_end == std::string::npos) throw HttpError("the connection ended before the head of the answer");
  if (expected != std::string::npos && data.size() < expected)
    throw HttpError("the connection ended within the body");

  Response response;
  if (data.compare(0, 7, "HTTP/1.") != 0) throw HttpError("this is no HTTP answer");
  const std::size_t space = data.find(' ');
  std::from_chars(data.data() + space + 1, data.data() + head_end, response.status);
  if (response.status < 100) throw HttpError("the answer has no status");
  response.headers = data.substr(0, head_end);
  response.body = data.substr(head_end + 4);
  return response;
}

Response fetch(const std::string& url, int timeout_ms) {
  constexpr std::string_view kScheme = "http://";
  if (url.compare(0, kScheme.size(), kScheme) != 0) throw HttpError("not an http URL: " + url);
  const std::size_t path_start = url.find('/', kScheme.size());
  const std::string authority = url.substr(kScheme.size(), path_start - kScheme.size());
  const std::string path = path_start == std::string::npos ? "/" : url.substr(path_start);
  const std::size_t colon = authority.rfind(':');
  const std::string host = authority.substr(0, colon);
  const std::string port = colon == std::string::npos ? "80" : authority.substr(colon + 1);

  const int fd = connect_to(host, port);
  const SocketCloser closer(fd);
  send_all(fd, "GET " + path + " HTTP/1.1\r\nHost: " + authority + "\r\nConnection: close\r\n\r\n");
  return read_response(fd, timeout_ms);
}

}  // namespace legacy
