// SPDX-License-Identifier: Apache-2.0
//
// Names and addresses: libc's functions on the default executor, and at once where nothing can block.
#include "aiofiber/resolve.h"

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <arpa/inet.h>
#include <netdb.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "aiofiber/await.h"
#include "aiofiber/coro.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/executor.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/wait_fd.h"
#include "core/text.h"
#include "sockets/idna.h"

namespace aiofiber {

namespace {

// The number that decimal digits stand for; -1: they are no number, or too large for one.
long number_of(const std::string& digits) noexcept {
  long number = -1;
  const char* const end = digits.data() + digits.size();
  if (digits.empty() || digits.front() == '-') return -1;
  const auto [stopped, error] = std::from_chars(digits.data(), end, number);
  return error == std::errc() && stopped == end ? number : -1;
}

bool all_digits(const std::string& text) noexcept {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

// Whether inet_pton(3) takes it, which looks at no file. A scope (fe80::1%eth0) needs a look at the
// interfaces.
bool is_numeric(const std::string& host) noexcept {
  unsigned char address[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, host.c_str(), address) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), address) == 1;
}

void check_name(const std::optional<std::string>& host) {
  if (host && host->find('\0') != std::string::npos)
    throw ValueError("the name of a host has a NUL in it: embedded null character");
}

struct Query {
  std::optional<std::string> host;
  std::optional<std::string> service;
  GetAddrInfoOptions options;
};

// On any thread; blocks it. gaierror.
std::vector<AddressInfo> look_up_addresses(const Query& query) {
  addrinfo hints{};
  hints.ai_family = query.options.family;
  hints.ai_socktype = query.options.type;
  hints.ai_protocol = query.options.proto;
  hints.ai_flags = query.options.flags;
  // AI_IDN: libc has its own way, by the locale.
  std::optional<std::string> host = query.host;
  if (host && (hints.ai_flags & AI_IDN) == 0) host = detail::host_in_ascii(*std::move(host));
  addrinfo* found = nullptr;
  const int code = ::getaddrinfo(host ? host->c_str() : nullptr,
                                 query.service ? query.service->c_str() : nullptr, &hints, &found);
  if (code != 0) throw gaierror(code, errno);
  const absl::Cleanup free_list = [found] { ::freeaddrinfo(found); };
  std::vector<AddressInfo> result;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    result.push_back({.family = each->ai_family,
                      .type = each->ai_socktype,
                      .protocol = each->ai_protocol,
                      .canonname = each->ai_canonname != nullptr ? each->ai_canonname : "",
                      .address = SocketAddress(each->ai_addr, each->ai_addrlen)});
  }
  return result;
}

using Names = std::pair<std::string, std::string>;

Names look_up_names(const SocketAddress& address, int flags) {
  char host[NI_MAXHOST] = "";
  char service[NI_MAXSERV] = "";
  const int code =
      ::getnameinfo(address.data(), address.size(), host, sizeof host, service, sizeof service, flags);
  if (code != 0) throw gaierror(code, errno);
  return {host, service};
}

// The two calls, each in two forms (coroutine.h). An executor's thread is no task: libc's functions block it.
struct GetAddrInfo {
  const detail::LoopCore* asked;
  std::optional<std::string> host;
  Service port;
  GetAddrInfoOptions options;

  std::vector<AddressInfo> operator()() {
    detail::check_same_loop(detail::require_current_task().loop(), asked, "getaddrinfo");
    if (auto at_once = detail::resolve_numbers(host, port, options)) return *std::move(at_once);
    return await(begin(std::move(host), port, options));
  }
  Coro<std::vector<AddressInfo>> stackless_form() {
    return without_stack(asked, std::move(host), std::move(port), options);
  }
  detail::EntryInfo entry() const noexcept {
    using Member = Coroutine<std::vector<AddressInfo>> (EventLoop::*)(std::optional<std::string>, Service);
    return detail::entry_of_member(static_cast<Member>(&EventLoop::getaddrinfo));
  }

  static Future<std::vector<AddressInfo>> begin(std::optional<std::string> host, const Service& port,
                                                const GetAddrInfoOptions& options) {
    return get_running_loop().run_in_executor(nullptr, &look_up_addresses,
                                              Query{std::move(host), port.text(), options});
  }
  static Coro<std::vector<AddressInfo>> without_stack(const detail::LoopCore* asked,
                                                      std::optional<std::string> host, Service port,
                                                      GetAddrInfoOptions options) {
    detail::check_same_loop(get_running_loop().core(), asked, "getaddrinfo");
    co_return co_await detail::resolve(std::move(host), std::move(port), options);
  }
};

struct GetNameInfo {
  const detail::LoopCore* asked;
  SocketAddress address;
  int flags;

  bool is_at_once() const noexcept { return (flags & NI_NUMERICHOST) != 0 && (flags & NI_NUMERICSERV) != 0; }
  Names operator()() {
    detail::check_same_loop(detail::require_current_task().loop(), asked, "getnameinfo");
    if (is_at_once()) return at_once();
    return await(begin());
  }
  Coro<Names> stackless_form() { return without_stack(*this); }
  detail::EntryInfo entry() const noexcept { return detail::entry_of_member(&EventLoop::getnameinfo); }

 private:
  Names at_once() const {
    const runtime::HooksOff hooks_off;
    return look_up_names(address, flags);
  }
  Future<Names> begin() const {
    return get_running_loop().run_in_executor(nullptr, &look_up_names, address, flags);
  }
  static Coro<Names> without_stack(GetNameInfo call) {
    detail::check_same_loop(get_running_loop().core(), call.asked, "getnameinfo");
    if (call.is_at_once()) co_return call.at_once();
    co_return co_await call.begin();
  }
};

}  // namespace

void Service::check() const {
  if (port_ && (*port_ < 0 || *port_ > 65535))
    throw ValueError(absl::StrCat("port must be 0-65535, not ", *port_));
  if (!name_) return;
  if (name_->find('\0') != std::string::npos)
    throw ValueError("the name of a service has a NUL in it: embedded null character");
  // libc would take the lower 16 bits.
  if (all_digits(*name_) && (number_of(*name_) < 0 || number_of(*name_) > 65535))
    throw ValueError(absl::StrCat("port must be 0-65535, not ", detail::shorten(*name_)));
}

std::optional<int> Service::number() const {
  if (port_) return *port_;
  if (!name_ || name_->empty()) return 0;
  if (!all_digits(*name_)) return std::nullopt;
  return static_cast<int>(number_of(*name_));
}

std::optional<std::string> Service::text() const {
  if (port_) return absl::StrCat(*port_);
  return name_;
}

std::string repr(const Service& service) {
  if (service.port_) return absl::StrCat(*service.port_);
  if (service.name_) return detail::quote(*service.name_);
  return "None";
}

gaierror::gaierror(int code, int system_errno)
    : std::runtime_error(absl::StrCat(
          "[Errno ", code, "] ", code == EAI_SYSTEM ? std::strerror(system_errno) : ::gai_strerror(code))),
      code_(code) {}

namespace detail {

void check_same_loop(const LoopCore& running, const LoopCore* asked, const char* function) {
  if (&running != asked)
    throw RuntimeError(absl::StrCat(function, "() of another loop: await it in a task of the loop whose ",
                                    function, "() was called"));
}

std::optional<std::vector<AddressInfo>> resolve_numbers(const std::optional<std::string>& host,
                                                        const Service& port,
                                                        const GetAddrInfoOptions& options) {
  port.check();
  check_name(host);
  if (!host || !is_numeric(*host) || !port.number()) return std::nullopt;
  Query query{host, port.text(), options};
  query.options.flags |= AI_NUMERICHOST;
  if (query.service && query.service->empty()) query.service.emplace(1, '0');
  if (query.service) query.options.flags |= AI_NUMERICSERV;
  const runtime::HooksOff hooks_off;
  return look_up_addresses(query);
}

Coro<std::vector<AddressInfo>> resolve(std::optional<std::string> host, Service port,
                                       GetAddrInfoOptions options) {
  if (auto at_once = resolve_numbers(host, port, options)) co_return *std::move(at_once);
  co_return co_await GetAddrInfo::begin(std::move(host), port, options);
}

}  // namespace detail

Coroutine<std::vector<AddressInfo>> EventLoop::getaddrinfo(std::optional<std::string> host, Service port) {
  return getaddrinfo(std::move(host), std::move(port), GetAddrInfoOptions{});
}

Coroutine<std::vector<AddressInfo>> EventLoop::getaddrinfo(std::optional<std::string> host, Service port,
                                                           GetAddrInfoOptions options) {
  return Coroutine<std::vector<AddressInfo>>(GetAddrInfo{&core(), std::move(host), std::move(port), options});
}

Coroutine<Names> EventLoop::getnameinfo(SocketAddress address, int flags) {
  return Coroutine<Names>(GetNameInfo{&core(), std::move(address), flags});
}

}  // namespace aiofiber
