// SPDX-License-Identifier: Apache-2.0
//
// The first line of an HTTP/1.x request, as far as a file server needs it. Does not know sockets.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace demo {

struct HttpRequest {
  std::string method;
  std::string path;  // decoded, without the query; begins with '/'
};

// nullopt if the head is not a well-formed request of HTTP/1.x for a path.
std::optional<HttpRequest> parse_request(std::string_view head);

}  // namespace demo
