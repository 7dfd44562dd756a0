// SPDX-License-Identifier: Apache-2.0
//
// demo_file_server: serves the files below a directory over HTTP, each after a delay, with one task for each
// connection.
//
// Everything runs on one thread: asyncio's streams for the connections and asyncio's sleep for the delay.
// "/__never" never answers; clients use it to test a timeout.
// SIGTERM and SIGINT end it: it accepts no new connection and aborts the open ones.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <aiofiber/asyncio.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "http_request.h"

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::size_t kLongestHead = 16 * 1024;
constexpr std::size_t kBlockBytes = 64 * 1024;
constexpr auto kSlowestClient = 30s;

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

// ---- one connection. A client that is gone or too slow ends it by an exception.

// The request up to the empty line.
std::string read_head(const asyncio::StreamReader& reader) {
  return asyncio::await(asyncio::wait_for(reader.readuntil("\r\n\r\n"), kSlowestClient));
}

void send(const asyncio::StreamWriter& writer, std::string data) {
  writer.write(std::move(data));
  asyncio::await(asyncio::wait_for(writer.drain(), kSlowestClient));
}

std::string head_of_answer(std::string_view status, std::size_t length, std::string_view more = {}) {
  return "HTTP/1.1 " + std::string(status) + "\r\nContent-Length: " + std::to_string(length) + "\r\n" +
         std::string(more) + "Connection: close\r\n\r\n";
}

void send_error(const asyncio::StreamWriter& writer, std::string_view status,
                std::string_view more_headers = {}) {
  const std::string body = std::string(status) + "\n";
  send(writer, head_of_answer(status, body.size(), more_headers) + body);
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

void send_file(const asyncio::StreamWriter& writer, const demo::HttpRequest& request, const fs::path& root) {
  const FileDescriptor file = open_below(root, request.path);
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return send_error(writer, "404 Not Found");
  auto left = static_cast<std::size_t>(status.st_size);
  send(writer, head_of_answer("200 OK", left));
  if (request.method == "HEAD") return;
  while (left > 0) {
    std::string block(std::min(kBlockBytes, left), '\0');
    const ssize_t n = ::read(file.get(), block.data(), block.size());
    if (n <= 0) return;  // the file shrank: the client gets a body that is too short
    block.resize(static_cast<std::size_t>(n));
    left -= block.size();
    send(writer, std::move(block));
  }
}

void answer(const asyncio::StreamReader& reader, const asyncio::StreamWriter& writer,
            const Options& options) {
  const std::optional<demo::HttpRequest> request = demo::parse_request(read_head(reader));
  if (request && request->path == "/__never") {
    asyncio::await(reader.read());  // until the client gives up
    return;
  }
  asyncio::await(asyncio::sleep(options.delay));
  if (!request) {
    send_error(writer, "400 Bad Request");
  } else if (request->method != "GET" && request->method != "HEAD") {
    send_error(writer, "405 Method Not Allowed", "Allow: GET, HEAD\r\n");
  } else {
    send_file(writer, *request, options.root);
  }
}

void serve_connection(asyncio::StreamReader reader, asyncio::StreamWriter writer, const Options& options) {
  try {
    answer(reader, writer, options);
    writer.close();
  } catch (const std::exception&) {
    writer.transport().abort();  // the client went away, is too slow, or sends a head without end
  }
}

// ---- the server

int serve(const Options& options) {
  asyncio::Server server;
  try {
    server = asyncio::await(asyncio::start_server(
        [&options](asyncio::StreamReader reader, asyncio::StreamWriter writer) {
          serve_connection(std::move(reader), std::move(writer), options);
        },
        "127.0.0.1", options.port, {.limit = kLongestHead, .backlog = SOMAXCONN}));
  } catch (const std::system_error& error) {
    throw StartError(1, "cannot listen on 127.0.0.1:" + std::to_string(options.port) + ": " + error.what());
  }
  std::printf("listening on 127.0.0.1:%d\n", server.sockets().at(0).port());
  std::fflush(stdout);
  asyncio::EventLoop& loop = asyncio::get_running_loop();
  for (const int signo : {SIGTERM, SIGINT}) {
    loop.add_signal_handler(signo, [server] {
      server.close();
      server.abort_clients();
    });
  }
  try {
    asyncio::await(server.serve_forever());
  } catch (const asyncio::CancelledError&) {
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse_options(argc, argv);
    return asyncio::run([&options] { return serve(options); });
  } catch (const StartError& error) {
    std::fprintf(stderr, "demo_file_server: %s\n", error.what());
    if (error.exit_code == 2)
      std::fprintf(stderr, "usage: demo_file_server --root DIR [--port N] [--delay-ms N]\n");
    return error.exit_code;
  }
}
