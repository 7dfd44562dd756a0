// SPDX-License-Identifier: Apache-2.0
//
// A std::iostream on a socket, with libstdc++'s own stream buffer for descriptors, which reads with libc's
// read().
#include <unistd.h>
#include <ext/stdio_filebuf.h>

#include <istream>
#include <ostream>
#include <string>

#include "calls/client_calls.h"
#include "client_test.h"
#include "connected_socket.h"

namespace aiofiber::clients_test {
namespace {

// A buffer a direction, on descriptors of their own: libstdc++'s buffer cannot turn from reading to writing
// on a socket.
class IostreamConnection : public KeptConnection {
 public:
  explicit IostreamConnection(int port)
      : in_buffer_(ConnectedSocket(port).release(), std::ios::in),
        out_buffer_(::dup(in_buffer_.fd()), std::ios::out),
        in_(&in_buffer_),
        out_(&out_buffer_) {}
  // nginx answers in one chunk of one line, between the head and a chunk of length 0.
  std::string ask(int number, int seconds) override {
    in_.clear();
    out_.clear();
    out_ << "GET " << (seconds > 0 ? "/slow" : "/score/" + std::to_string(number))
         << " HTTP/1.1\r\nHost: localhost\r\n\r\n"
         << std::flush;
    for (std::string line; std::getline(in_, line) && line != "\r";) {
    }
    std::string text;
    for (std::string line; std::getline(in_, line) && line != "0\r";) {
      if (!line.ends_with('\r')) text = line;
    }
    for (std::string line; std::getline(in_, line) && line != "\r";) {
    }
    return in_ && out_ ? text.substr(text.rfind(' ') + 1) : std::string();
  }

 private:
  __gnu_cxx::stdio_filebuf<char> in_buffer_, out_buffer_;
  std::istream in_;
  std::ostream out_;
};

class IostreamCalls : public ClientCalls {
 public:
  const char* name() const override { return "iostreams on a socket"; }
  const char* functions() const override { return "`std::getline`, `operator<<`, `std::flush`"; }
  Server& server() override { return clients_test::server<HttpServer>(); }
  bool quick(int port) override { return last_line(port, "/1k") == std::string(1000, 'x'); }
  void never(int port) override { last_line(port, "/never"); }
  std::unique_ptr<KeptConnection> connect(int port) override {
    return std::make_unique<IostreamConnection>(port);
  }

 private:
  static std::string last_line(int port, const std::string& path) {
    ConnectedSocket socket(port);
    if (socket.fd() < 0) return {};
    __gnu_cxx::stdio_filebuf<char> buffer(socket.release(), std::ios::in | std::ios::out);
    std::iostream stream(&buffer);
    stream << "GET " << path << " HTTP/1.0\r\n\r\n" << std::flush;
    std::string last;
    for (std::string line; std::getline(stream, line);) last = line;
    return last;
  }
};

}  // namespace

std::unique_ptr<ClientCalls> iostream_calls() { return std::make_unique<IostreamCalls>(); }

}  // namespace aiofiber::clients_test
