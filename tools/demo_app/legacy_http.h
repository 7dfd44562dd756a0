// SPDX-License-Identifier: Apache-2.0
//
// A small HTTP client in the style of old code: blocking sockets, errno, poll() for the time limits.
//
// It is an example of code to retrofit: it does not know aiofiber, tasks or loops, and is compiled without
// aiofiber's headers. Linked with aiofiber::hooks, it suspends the task in which it runs.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace legacy {

// An error of the request: an unknown name, a broken connection, an answer that is not HTTP.
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

// Reads until the server closes the connection, or Content-Length bytes of body have come. Gives up if
// nothing comes for timeout_ms.
Response read_response(int socket_fd, int timeout_ms);

// GET of "http://HOST[:PORT]/PATH".
Response fetch(const std::string& url, int timeout_ms = 30'000);

}  // namespace legacy
