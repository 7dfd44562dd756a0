// SPDX-License-Identifier: Apache-2.0
//
// demo_file_server: serves the files below a directory over HTTP, each after a delay, with one task for each
// connection.
//
// Everything runs on one thread: plain accept, recv and send of libc, which the hooks turn into suspensions,
// and asyncio's sleep for the delay. "/__never" never answers; clients use it to test a timeout.
// SIGTERM and SIGINT end it: it accepts no new connection and cancels the open ones.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <aiofiber/asyncio.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "http_request.h"

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::size_t kLongestHead = 16 * 1024;
constexpr std::size_t kBlockBytes = 64 * 1024;
constexpr int kSlowestClientSeconds = 30;

struct Options {
  fs::path root = ".";
  int port = 0;
  std::chrono::milliseconds delay{100};
};

// A wrong command line, or an error at the start: the message is for the user.
class StartError : public std::runtime_error {
 public:
  StartError(int code, const std::string& message) : std::runtime_error(message), exit_code(code) {}
  int exit_code;
};

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

int parse_number(std::string_view option, std::string_view text, int highest) {
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0 || number > highest) {
    throw StartError(2, std::string(option) + " wants a number from 0 to " + std::to_string(highest));
  }
  return number;
}

Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name != "--root" && name != "--port" && name != "--delay-ms") {
      throw StartError(2, "unknown option '" + std::string(name) + "'");
    }
    if (++i == argc) throw StartError(2, std::string(name) + " wants a value");
    if (name == "--root") options.root = argv[i];
    if (name == "--port") options.port = parse_number(name, argv[i], 65535);
    if (name == "--delay-ms")
      options.delay = std::chrono::milliseconds(parse_number(name, argv[i], 3'600'000));
  }
  std::error_code error;
  const fs::path root = fs::canonical(options.root, error);
  if (error) throw StartError(1, "cannot serve " + options.root.string() + ": " + error.message());
  if (!fs::is_directory(root))
    throw StartError(1, "cannot serve " + options.root.string() + ": not a directory");
  options.root = root;
  return options;
}

// A listening socket on the loopback, and its port.
std::pair<FileDescriptor, int> listen_on(int port) {
  const std::string place = "127.0.0.1:" + std::to_string(port);
  const auto failure = [&place] {
    return StartError(1, "cannot listen on " + place + ": " + std::strerror(errno));
  };
  FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (listener.get() < 0) throw failure();
  const int yes = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  socklen_t length = sizeof address;
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener.get(), name, length) != 0 || ::listen(listener.get(), SOMAXCONN) != 0) throw failure();
  if (::getsockname(listener.get(), name, &length) != 0) throw failure();
  return {std::move(listener), ntohs(address.sin_port)};
}

// ---- one connection. Functions that return bool return false if the client is gone.

bool send_all(int connection, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = ::send(connection, data.data(), data.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    data.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

// The request up to the empty line; empty if the client went away or sends without end.
std::string read_head(int connection) {
  std::string head;
  char buffer[4096];
  while (head.find("\r\n\r\n") == std::string::npos) {
    if (head.size() > kLongestHead) return {};
    const ssize_t n = ::recv(connection, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return {};
    head.append(buffer, static_cast<std::size_t>(n));
  }
  return head;
}

std::string head_of_answer(std::string_view status, std::size_t length, std::string_view more = {}) {
  return "HTTP/1.1 " + std::string(status) + "\r\nContent-Length: " + std::to_string(length) + "\r\n" +
         std::string(more) + "Connection: close\r\n\r\n";
}

void send_error(int connection, std::string_view status, std::string_view more_headers = {}) {
  const std::string body = std::string(status) + "\n";
  send_all(connection, head_of_answer(status, body.size(), more_headers) + body);
}

// Opens the regular file of the path; -1 if there is none below the root. Symbolic links are followed as long
// as they stay inside.
FileDescriptor open_below(const fs::path& root, const std::string& path) {
  std::error_code error;
  const fs::path target = fs::canonical(root / path.substr(1), error);
  if (error) return FileDescriptor(-1);
  const fs::path relative = target.lexically_relative(root);
  if (relative.empty() || *relative.begin() == "..") return FileDescriptor(-1);
  return FileDescriptor(::open(target.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
}

void send_file(int connection, const demo::HttpRequest& request, const fs::path& root) {
  const FileDescriptor file = open_below(root, request.path);
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    send_error(connection, "404 Not Found");
    return;
  }
  auto left = static_cast<std::size_t>(status.st_size);
  if (!send_all(connection, head_of_answer("200 OK", left)) || request.method == "HEAD") return;
  std::string block(std::min(kBlockBytes, left), '\0');
  while (left > 0) {
    const ssize_t n = ::read(file.get(), block.data(), std::min(block.size(), left));
    if (n <= 0) return;  // the file shrank: the client gets a body that is too short
    if (!send_all(connection, {block.data(), static_cast<std::size_t>(n)})) return;
    left -= static_cast<std::size_t>(n);
  }
}

void serve_connection(const FileDescriptor& connection, const Options& options) {
  const timeval limit{kSlowestClientSeconds, 0};
  ::setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(connection.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  const std::string head = read_head(connection.get());
  if (head.empty()) return;
  const std::optional<demo::HttpRequest> request = demo::parse_request(head);
  if (request && request->path == "/__never") {
    const timeval none{0, 0};
    ::setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
    char ignored[256];
    while (::recv(connection.get(), ignored, sizeof ignored, 0) > 0) {
    }
    return;  // the client has given up
  }
  asyncio::await(asyncio::sleep(options.delay));
  if (!request) {
    send_error(connection.get(), "400 Bad Request");
  } else if (request->method != "GET" && request->method != "HEAD") {
    send_error(connection.get(), "405 Method Not Allowed", "Allow: GET, HEAD\r\n");
  } else {
    send_file(connection.get(), *request, options.root);
  }
}

// ---- the server

void accept_connections(int listener, const Options& options) {
  for (;;) {
    FileDescriptor connection(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (connection.get() >= 0) {
      asyncio::create_task([&options](const FileDescriptor& mine) { serve_connection(mine, options); },
                           std::move(connection))
          .detach();
    } else if (errno == ECANCELED) {
      return;
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      asyncio::await(asyncio::sleep(50ms));  // a connection will end soon
    }                                        // otherwise: this client went away before it was accepted
  }
}

int serve(int listener, const Options& options) {
  asyncio::Task<> accepting =
      asyncio::create_task({.name = "accept"}, accept_connections, listener, std::cref(options));
  asyncio::EventLoop& loop = asyncio::get_running_loop();
  for (const int signo : {SIGTERM, SIGINT}) {
    loop.add_signal_handler(signo, [accepting]() mutable { accepting.cancel(); });
  }
  try {
    asyncio::await(accepting);
  } catch (const asyncio::CancelledError&) {
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse_options(argc, argv);
    const auto [listener, port] = listen_on(options.port);
    std::printf("listening on 127.0.0.1:%d\n", port);
    std::fflush(stdout);
    return asyncio::run([&options, fd = listener.get()] { return serve(fd, options); });
  } catch (const StartError& error) {
    std::fprintf(stderr, "demo_file_server: %s\n", error.what());
    if (error.exit_code == 2)
      std::fprintf(stderr, "usage: demo_file_server --root DIR [--port N] [--delay-ms N]\n");
    return error.exit_code;
  }
}
