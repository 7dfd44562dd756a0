// SPDX-License-Identifier: Apache-2.0
//
// "METHOD SP /path?query SP HTTP/1.x", the path percent-encoded.
#include "http_request.h"

namespace demo {

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0))
      return std::nullopt;  // a NUL cannot be in a file name
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

}  // namespace

std::optional<HttpRequest> parse_request(std::string_view head) {
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const std::size_t first_space = line.find(' ');
  const std::size_t last_space = line.rfind(' ');
  if (first_space == std::string_view::npos || first_space == 0 || last_space == first_space)
    return std::nullopt;
  const std::string_view version = line.substr(last_space + 1);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return std::nullopt;
  const std::string_view target = line.substr(first_space + 1, last_space - first_space - 1);
  if (target.empty() || target.front() != '/' || target.find(' ') != std::string_view::npos)
    return std::nullopt;
  std::optional<std::string> path = percent_decode(target.substr(0, target.find('?')));
  if (!path) return std::nullopt;
  return HttpRequest{std::string(line.substr(0, first_space)), std::move(*path)};
}

}  // namespace demo
