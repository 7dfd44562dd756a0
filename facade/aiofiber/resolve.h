// SPDX-License-Identifier: Apache-2.0
//
// getaddrinfo() and getnameinfo() of the loop: names of hosts and services, and their addresses.
//
// libc's functions may block for seconds, so they run on the loop's default executor. A numeric host with a
// port number never goes there. Source: loop.getaddrinfo(), loop.getnameinfo(); RFC 3493.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/coroutine.h"
#include "aiofiber/event_loop.h"
#include "aiofiber/socket.h"

namespace aiofiber {

// A port: a number from 0 to 65535, the name of a service ("http"), digits, or std::nullopt for none.
class Service {
 public:
  // A port number, a service's name ("http") or a number in digits, or none (std::nullopt, Python's None).
  // Nothing is checked here; see check().
  Service(int port) noexcept : port_(port) {}
  Service(std::string name) noexcept : name_(std::move(name)) {}
  Service(const char* name) : name_(name) {}
  Service(std::nullopt_t) noexcept {}

  // ValueError: a number outside the range, also as digits; a NUL in the name.
  void check() const;
  // The number, also of digits; 0 for none; nullopt for a name.
  std::optional<int> number() const;
  // What getaddrinfo(3) takes; nullopt for none.
  std::optional<std::string> text() const;
  // As Python shows it: 80, 'http', None.
  friend std::string repr(const Service& service);

 private:
  std::optional<int> port_;  // at most one of the two
  std::optional<std::string> name_;
};
// The text that Python prints for it: 80, 'http', None.
std::string repr(const Service& service);

// One answer of getaddrinfo(): what socket(2) and connect(2) take.
struct AddressInfo {
  int family = 0;         // AF_INET or AF_INET6
  int type = 0;           // SOCK_STREAM, SOCK_DGRAM, ...
  int protocol = 0;       // IPPROTO_TCP, IPPROTO_UDP, ...
  std::string canonname;  // with AI_CANONNAME, of the first answer
  SocketAddress address;  // where to connect or bind
};

// The keyword arguments of getaddrinfo().
struct GetAddrInfoOptions {
  int family = 0;  // AF_INET, AF_INET6; 0: all
  int type = 0;    // SOCK_STREAM, SOCK_DGRAM; 0: an answer for each
  int proto = 0;   // IPPROTO_TCP, ...; 0: all
  int flags = 0;   // AI_PASSIVE, AI_CANONNAME, ...
};

// A name that cannot be resolved (Python's socket.gaierror): "[Errno -2] Name or service not known".
class gaierror : public std::runtime_error {
 public:
  // `code`: EAI_NONAME, EAI_AGAIN, ... `system_errno`: for EAI_SYSTEM.
  explicit gaierror(int code, int system_errno = 0);
  int code() const noexcept { return code_; }  // EAI_NONAME, EAI_AGAIN, ...

 private:
  int code_;
};

// EventLoop::getaddrinfo(): the addresses of a host, in the order in which to try them (RFC 6724). `host`
// std::nullopt: this machine: every interface with AI_PASSIVE, else the loopback. A name beyond ASCII is
// UTF-8 and is asked for as IDNA 2008 has it ("xn--..."), by libidn2; with AI_IDN libc does that, by the
// locale.
// Cancellation: a cancellation point when it waits; a look-up that has begun ends by itself, and its result
// is dropped. Errors: gaierror; ValueError: a NUL in a name, a port out of range, a name beyond ASCII that
// IDNA does not take or for which there is no libidn2.
// Differs from asyncio: names beyond ASCII follow IDNA 2008, as in browsers; Python's follow IDNA 2003.
//
// EventLoop::getnameinfo(): the names of an address's host and port, or their numbers where there are no
// names. `flags`: NI_NUMERICHOST, NI_NUMERICSERV, ... With both of these nothing waits. Errors: gaierror.

namespace detail {
// What getaddrinfo() of the loop does, for code of the library that is a Coro.
Coro<std::vector<AddressInfo>> resolve(std::optional<std::string> host, Service port,
                                       GetAddrInfoOptions options);
// The same at once if no name is in it, else nullopt. ValueError, gaierror as above.
std::optional<std::vector<AddressInfo>> resolve_numbers(const std::optional<std::string>& host,
                                                        const Service& port,
                                                        const GetAddrInfoOptions& options);
// RuntimeError: the current task's loop is another one than that whose member was called.
void check_same_loop(const LoopCore& running, const LoopCore* asked, const char* function);
}  // namespace detail

}  // namespace aiofiber
