// SPDX-License-Identifier: Apache-2.0
//
// Connecting to a host with many addresses, and listening on many.
//
// An attempt to connect throws no std::system_error: it gives a socket or its errors. So attempts that run
// beside each other are tasks that nobody has to catch.
#include "aiofiber/connect.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>

#include "aiofiber/coro.h"
#include "aiofiber/exception_group.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/log.h"
#include "aiofiber/runtime/engine/saturating.h"
#include "aiofiber/runtime/engine/socket_syscall.h"
#include "aiofiber/sock_calls.h"
#include "aiofiber/task.h"
#include "aiofiber/wait.h"
#include "aiofiber/wait_fd.h"
#include "core/text.h"

namespace aiofiber::detail {

namespace sys = runtime::sys;

namespace {

using Addresses = std::vector<AddressInfo>;
using Errors = std::vector<std::system_error>;

// The error of several attempts. Its text is the whole text; std::system_error would append the errno's.
class SeveralErrors final : public std::system_error {
 public:
  explicit SeveralErrors(const Errors& errors)
      : std::system_error(errors.front().code()),
        text_(std::make_shared<const std::string>(
            absl::StrCat("Multiple exceptions: ",
                         absl::StrJoin(errors, ", ", [](std::string* out, const std::system_error& error) {
                           absl::StrAppend(out, error.what());
                         })))) {}
  const char* what() const noexcept override { return text_->c_str(); }

 private:
  std::shared_ptr<const std::string> text_;  // shared: copying an exception must not throw
};

[[noreturn]] void throw_errors(const Errors& errors, bool all) {
  if (all) {
    std::vector<std::exception_ptr> members;
    for (const std::system_error& error : errors) members.push_back(std::make_exception_ptr(error));
    throw ExceptionGroup("create_connection failed", std::move(members));
  }
  const std::string_view first = errors.front().what();
  if (std::all_of(errors.begin(), errors.end(),
                  [&](const std::system_error& error) { return error.what() == first; }))
    throw std::system_error(errors.front());
  throw SeveralErrors(errors);
}

// ---- one attempt ------------------------------------------------------------------------------------------

struct Attempt {
  Socket socket;  // not open: it failed
  Errors errors;
};

std::system_error bind_error(int error, const SocketAddress& address) {
  return {error, std::generic_category(),
          absl::StrCat("error while attempting to bind on address ", repr(address))};
}

// Binds to the first local address of the family that is free. `errors`: of the others. False: there is none.
bool bind_to_any(const Socket& socket, int family, const Addresses& locals, Errors& errors) {
  for (const AddressInfo& local : locals) {
    if (local.family != family) continue;
    if (sys::bind(socket.fd(), local.address.data(), local.address.size()) == 0) return true;
    errors.push_back(bind_error(errno, local.address));
  }
  if (errors.empty())
    errors.emplace_back(EADDRNOTAVAIL, std::generic_category(),
                        absl::StrCat("no matching local address with family=", family, " found"));
  return false;
}

Coro<Attempt> attempt(AddressInfo to, std::shared_ptr<const Addresses> locals) {
  Attempt result;
  try {
    const Socket socket(to.family, to.type, to.protocol);
    if (locals == nullptr || bind_to_any(socket, to.family, *locals, result.errors)) {
      co_await connect_socket(socket.fd(), to.address);
      result.socket = socket;
    }
  } catch (const std::system_error& error) {
    result.errors.push_back(error);
  }
  co_return result;
}

// ---- attempts beside each other ---------------------------------------------------------------------------

// Requests the end of all attempts that are still open.
struct CancelAttempts {
  const std::vector<Task<Attempt>>& attempts;
  ~CancelAttempts() { cancel(); }
  void cancel() const noexcept {
    for (const Task<Attempt>& each : attempts) {
      try {
        if (!each.done()) each.state().cancel(RareText());
      } catch (const RuntimeError&) {
        // The loop is closed: the attempt has ended with it.
      }
    }
  }
};

std::vector<Task<Attempt>> open_ones(const std::vector<Task<Attempt>>& attempts) {
  std::vector<Task<Attempt>> open;
  std::copy_if(attempts.begin(), attempts.end(), std::back_inserter(open),
               [](const Task<Attempt>& each) { return !each.done(); });
  return open;
}

// The socket of the first attempt that has one.
Socket socket_of(const std::vector<Task<Attempt>>& attempts) {
  for (const Task<Attempt>& each : attempts) {
    if (each.done() && !each.cancelled() && each.exception() == nullptr && each.result().socket.is_open())
      return each.result().socket;
  }
  return {};
}

// RFC 8305: the next attempt begins when the one before has failed, or has had `delay`. The first socket
// wins; the other attempts are cancelled, and this waits for their ends.
Coro<Attempt> race(Addresses addresses, std::shared_ptr<const Addresses> locals, Duration delay) {
  EventLoop& loop = get_running_loop();
  std::vector<Task<Attempt>> attempts;
  const CancelAttempts at_the_end{attempts};
  std::exception_ptr cancelled;
  Attempt result;
  TimePoint begin_next = loop.time();
  while (cancelled == nullptr && !result.socket.is_open()) {
    const bool is_left = attempts.size() < addresses.size();
    if (is_left && (attempts.empty() || attempts.back().done() || loop.time() >= begin_next)) {
      const AddressInfo& next = addresses[attempts.size()];
      attempts.reserve(addresses.size());
      attempts.push_back(loop.create_task(
          attempt(next, locals), TaskOptions{.name = absl::StrCat("connect to ", repr(next.address))}));
      begin_next = saturating_add(loop.time(), delay);
    }
    const std::vector<Task<Attempt>> open = open_ones(attempts);
    if (open.empty()) break;
    WaitOptions options{.return_when = FIRST_COMPLETED};
    if (attempts.size() < addresses.size())
      options.timeout = std::chrono::nanoseconds(
          runtime::time_until(begin_next.time_since_epoch().count(), loop.time().time_since_epoch().count()));
    try {
      co_await wait(open, options);
    } catch (const CancelledError&) {
      cancelled = std::current_exception();
    }
    result.socket = socket_of(attempts);
  }
  // The losers, in the same way: a further cancellation does not leave them behind.
  for (;;) {
    const std::vector<Task<Attempt>> open = open_ones(attempts);
    if (open.empty()) break;
    at_the_end.cancel();
    try {
      co_await wait(open);
    } catch (const CancelledError&) {
      cancelled = std::current_exception();
    }
  }
  if (cancelled != nullptr) std::rethrow_exception(cancelled);
  for (const Task<Attempt>& each : attempts) {
    if (each.cancelled()) continue;
    if (const std::exception_ptr error = each.exception(); error != nullptr) {
      if (!result.socket.is_open()) std::rethrow_exception(error);  // no memory
      continue;
    }
    result.errors.insert(result.errors.end(), each.result().errors.begin(), each.result().errors.end());
  }
  co_return result;
}

Coro<Attempt> one_after_the_other(Addresses addresses, std::shared_ptr<const Addresses> locals) {
  Attempt result;
  for (const AddressInfo& each : addresses) {
    Attempt next = co_await attempt(each, locals);
    if (next.socket.is_open()) co_return next;
    result.errors.insert(result.errors.end(), next.errors.begin(), next.errors.end());
  }
  co_return result;
}

Coro<Socket> connect_to_host(std::optional<std::string> host, Service port, ConnectOptions options) {
  const GetAddrInfoOptions wanted{
      .family = options.family, .type = SOCK_STREAM, .proto = options.proto, .flags = options.flags};
  Addresses addresses = co_await resolve(std::move(host), std::move(port), wanted);
  std::shared_ptr<const Addresses> locals;
  if (options.local_addr) {
    Addresses found = co_await resolve(options.local_addr->host, options.local_addr->port, wanted);
    locals = std::make_shared<const Addresses>(std::move(found));
  }
  const int interleave = options.interleave.value_or(options.happy_eyeballs_delay ? 1 : 0);
  if (interleave != 0) addresses = interleave_addresses(std::move(addresses), interleave);
  co_return co_await connect_to_any(std::move(addresses), std::move(locals), options);
}

Coro<Socket> connect_to_path(std::string path) {
  const SocketAddress address = SocketAddress::unix_path(path);
  Socket socket(AF_UNIX, SOCK_STREAM);
  co_await connect_socket(socket.fd(), address);
  co_return socket;
}

}  // namespace

Coro<Socket> connect_to_any(Addresses addresses, std::shared_ptr<const Addresses> locals,
                            ConnectOptions options) {
  Attempt result;
  if (options.happy_eyeballs_delay) {
    result = co_await race(std::move(addresses), std::move(locals), *options.happy_eyeballs_delay);
  } else {
    result = co_await one_after_the_other(std::move(addresses), std::move(locals));
  }
  if (!result.socket.is_open()) {
    if (result.errors.empty())
      result.errors.emplace_back(ECANCELED, std::generic_category(),
                                 "every attempt to connect was cancelled");
    throw_errors(result.errors, options.all_errors);
  }
  set_no_delay(result.socket);
  co_return std::move(result.socket);
}

namespace {

// ---- listening --------------------------------------------------------------------------------------------

// Whether this kernel has no such sockets. Anything else is an error of this moment: no descriptors, ...
bool is_unknown_kind(int error) noexcept {
  return error == EAFNOSUPPORT || error == EPROTONOSUPPORT || error == ESOCKTNOSUPPORT || error == EINVAL;
}

void log_in_debug_mode(const LoopCore& loop, const std::string& text) {
  if (loop.debug()) log(LogLevel::WARNING, text);
}

// A socket that is bound to the address; not open if this machine does not have it.
Socket bound_to(const AddressInfo& info, const ListenOptions& options, const LoopCore& loop) {
  Socket socket;
  try {
    socket = Socket(info.family, info.type, info.protocol);
  } catch (const std::system_error& error) {
    if (!is_unknown_kind(error.code().value())) throw;
    log_in_debug_mode(loop, absl::StrCat("create_server() failed to create socket.socket(", info.family, ", ",
                                         info.type, ", ", info.protocol, ")"));
    return {};
  }
  const bool is_inet = info.family == AF_INET || info.family == AF_INET6;
  if (options.reuse_address) socket.set_option(SOL_SOCKET, SO_REUSEADDR, 1);
  if (options.reuse_port && is_inet) socket.set_option(SOL_SOCKET, SO_REUSEPORT, 1);
  if (options.keep_alive) socket.set_option(SOL_SOCKET, SO_KEEPALIVE, 1);
  // One socket a family: 0.0.0.0 and :: at the same port do not conflict.
  if (info.family == AF_INET6) socket.set_option(IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (sys::bind(socket.fd(), info.address.data(), info.address.size()) == 0) return socket;
  const std::system_error error = bind_error(errno, info.address);
  if (error.code().value() != EADDRNOTAVAIL) throw error;
  log_in_debug_mode(loop, error.what());
  return {};
}

void begin_to_listen(const Socket& socket, int backlog) {
  if (sys::listen(socket.fd(), backlog) != 0)
    throw std::system_error(errno, std::generic_category(),
                            absl::StrCat("cannot listen on ", repr(socket.getsockname())));
}

Coro<std::vector<Socket>> listen_on_hosts(std::vector<std::string> hosts, Service port,
                                          ListenOptions options) {
  const Addresses addresses = co_await addresses_to_listen_on(std::move(hosts), std::move(port), options);
  co_return listen_on_addresses(addresses, options);
}

}  // namespace

Coro<Addresses> addresses_to_listen_on(std::vector<std::string> hosts, Service port, ListenOptions options) {
  const GetAddrInfoOptions wanted{.family = options.family, .type = SOCK_STREAM, .flags = options.flags};
  if (hosts.empty()) hosts.emplace_back();
  Addresses addresses;
  for (const std::string& host : hosts) {
    const auto name = host.empty() ? std::nullopt : std::optional<std::string>(host);
    Addresses answers = co_await resolve(name, port, wanted);
    for (AddressInfo& found : answers) {
      const bool is_known = std::any_of(addresses.begin(), addresses.end(), [&](const AddressInfo& known) {
        return known.address == found.address && known.protocol == found.protocol;
      });
      if (!is_known) addresses.push_back(std::move(found));
    }
  }
  co_return addresses;
}

std::vector<Socket> listen_on_addresses(const Addresses& addresses, const ListenOptions& options) {
  const LoopCore& loop = get_running_loop().core();
  std::vector<Socket> sockets;
  for (const AddressInfo& each : addresses) {
    if (Socket socket = bound_to(each, options, loop); socket.is_open()) sockets.push_back(std::move(socket));
  }
  if (sockets.empty()) {
    throw std::system_error(EADDRNOTAVAIL, std::generic_category(),
                            absl::StrCat("could not bind on any address out of [",
                                         absl::StrJoin(addresses, ", ",
                                                       [](std::string* out, const AddressInfo& each) {
                                                         absl::StrAppend(out, repr(each.address));
                                                       }),
                                         "]"));
  }
  if (options.listen) {
    for (const Socket& socket : sockets) begin_to_listen(socket, options.backlog);
  }
  return sockets;
}

Addresses interleave_addresses(Addresses addresses, int first_family_count) {
  std::vector<int> families;
  std::vector<Addresses> by_family;
  for (AddressInfo& each : addresses) {
    const auto known = std::find(families.begin(), families.end(), each.family);
    const auto place = static_cast<std::size_t>(known - families.begin());
    if (known == families.end()) {
      families.push_back(each.family);
      by_family.emplace_back();
    }
    by_family[place].push_back(std::move(each));
  }
  Addresses mixed;
  mixed.reserve(addresses.size());
  std::vector<std::size_t> taken(by_family.size(), 0);
  const auto take_from = [&](std::size_t family) {
    if (taken[family] < by_family[family].size())
      mixed.push_back(std::move(by_family[family][taken[family]++]));
  };
  for (int i = 1; i < first_family_count && !by_family.empty() && taken[0] < by_family[0].size(); ++i)
    take_from(0);
  while (mixed.size() < addresses.size()) {
    for (std::size_t family = 0; family < by_family.size(); ++family) take_from(family);
  }
  return mixed;
}

void set_no_delay(const Socket& socket) noexcept {
  sys::set_option(socket.fd(), IPPROTO_TCP, TCP_NODELAY, 1);
}

Coroutine<Socket> connect_stream(std::optional<std::string> host, Service port, ConnectOptions options) {
  return Coroutine<Socket>(
      AsCoro{[host = std::move(host), port = std::move(port), options = std::move(options)]() mutable {
               return connect_to_host(std::move(host), std::move(port), std::move(options));
             },
             entry_of(&connect_stream)});
}

Coroutine<Socket> connect_unix(std::string path) {
  return Coroutine<Socket>(
      AsCoro{[path = std::move(path)]() mutable { return connect_to_path(std::move(path)); },
             entry_of(&connect_unix)});
}

Coroutine<std::vector<Socket>> listen_stream(std::vector<std::string> hosts, Service port,
                                             ListenOptions options) {
  return Coroutine<std::vector<Socket>>(
      AsCoro{[hosts = std::move(hosts), port = std::move(port), options]() mutable {
               return listen_on_hosts(std::move(hosts), std::move(port), options);
             },
             entry_of(&listen_stream)});
}

void remove_stale_socket(const std::string& path) {
  struct stat status {};
  if (sys::path_status(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return;
  } else if (!S_ISSOCK(status.st_mode) || sys::unlink(path.c_str()) == 0) {
    return;
  }
  log(LogLevel::ERROR, absl::StrCat("Unable to check or remove stale UNIX socket ", quote(path), ": ",
                                    std::generic_category().message(errno)));
}

Socket listen_unix(std::string_view path, int backlog, bool listen) {
  const SocketAddress address = SocketAddress::unix_path(path);
  const Socket socket(AF_UNIX, SOCK_STREAM);
  if (path.front() != '\0') remove_stale_socket(std::string(path));
  if (sys::bind(socket.fd(), address.data(), address.size()) != 0) {
    if (errno != EADDRINUSE) throw bind_error(errno, address);
    throw std::system_error(EADDRINUSE, std::generic_category(),
                            absl::StrCat("Address ", repr(address), " is already in use"));
  }
  if (listen) begin_to_listen(socket, backlog);
  return socket;
}

}  // namespace aiofiber::detail
