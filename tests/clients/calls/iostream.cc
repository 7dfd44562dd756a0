// SPDX-License-Identifier: Apache-2.0
//
// A std::iostream on a socket, by libstdc++'s own stream buffer for descriptors: what it reads with is read() of libc.
#include <ext/stdio_filebuf.h>

#include <istream>
#include <ostream>
#include <string>

#include "calls/client_calls.h"
#include "client_test.h"
#include "connected_socket.h"

namespace aiofiber::clients_test {
namespace {

class IostreamCalls : public ClientCalls {
 public:
  const char* name() const override { return "iostreams on a socket"; }
  const char* functions() const override { return "`std::getline`, `operator<<`, `std::flush`"; }
  Server& server() override { return clients_test::server<HttpServer>(); }
  bool quick(int port) override { return last_line(port, "/1k") == std::string(1000, 'x'); }
  void never(int port) override { last_line(port, "/never"); }

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
