// SPDX-License-Identifier: Apache-2.0
//
// A small HTTP client as many an old code base has one: blocking sockets, errno, poll() for the time limits.
//
// It stands for the code that is to be retrofitted: it knows nothing of aiofiber, nor of tasks or loops, and
// it is compiled without any of its headers. Linked with aiofiber::hooks it suspends the task it runs in.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace legacy {

// What goes wrong on the way: a name that is not known, a connection that breaks, an answer that is no HTTP.
class HttpError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Response {
  int status = 0;
  std::string headers;  // the head of the answer, as it came
  std::string body;
};

// A connected TCP socket, which the caller closes. Tries every address of the host.
int connect_to(const std::string& host, const std::string& port);

void send_all(int socket_fd, std::string_view data);

// Reads until the server closes the connection, or Content-Length bytes of body are there. Gives up when
// nothing came for timeout_ms.
Response read_response(int socket_fd, int timeout_ms);

// GET of "http://HOST[:PORT]/PATH".
Response fetch(const std::string& url, int timeout_ms = 30'000);

}  // namespace legacy
