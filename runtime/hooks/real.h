// SPDX-License-Identifier: Apache-2.0
//
// libc's own functions, under the names that the hooks have taken.
//
// Each is a pointer that resolves itself with dlsym(RTLD_NEXT) when it is first called, so that a call
// made before any constructor has run is right. All of them are resolved when the library is loaded:
// dlsym() may allocate, which a signal handler or a vforked child must not do.
// Threads: any. Two threads that resolve the same name store the same value.
#pragma once

#include <netdb.h>
#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <ctime>

namespace aiofiber::hooks::real {

// The next definition of `name` after the hooks' own. Writes a message and aborts where there is none.
void* resolve_symbol(const char* name) noexcept;

template <class Signature>
class Function;

template <class R, class... A>
class Function<R(A...)> {
 public:
  constexpr explicit Function(const char* name) noexcept : name_(name) {}

  R operator()(A... arguments) {
    Pointer function = function_.load(std::memory_order_relaxed);
    if (__builtin_expect(function == nullptr, 0)) function = resolve();
    return function(arguments...);
  }
  R (*resolve() noexcept)(A...) {
    auto function = reinterpret_cast<Pointer>(resolve_symbol(name_));
    function_.store(function, std::memory_order_relaxed);
    return function;
  }

 private:
  using Pointer = R (*)(A...);
  const char* name_;
  std::atomic<Pointer> function_{nullptr};
};

inline constinit Function<ssize_t(int, void*, std::size_t)> read{"read"};
inline constinit Function<ssize_t(int, const void*, std::size_t)> write{"write"};
inline constinit Function<ssize_t(int, const iovec*, int)> readv{"readv"};
inline constinit Function<ssize_t(int, const iovec*, int)> writev{"writev"};

inline constinit Function<ssize_t(int, void*, std::size_t, int)> recv{"recv"};
inline constinit Function<ssize_t(int, void*, std::size_t, int, sockaddr*, socklen_t*)> recvfrom{"recvfrom"};
inline constinit Function<ssize_t(int, msghdr*, int)> recvmsg{"recvmsg"};
inline constinit Function<ssize_t(int, const void*, std::size_t, int)> send{"send"};
inline constinit Function<ssize_t(int, const void*, std::size_t, int, const sockaddr*, socklen_t)> sendto{
    "sendto"};
inline constinit Function<ssize_t(int, const msghdr*, int)> sendmsg{"sendmsg"};
inline constinit Function<int(int, const sockaddr*, socklen_t)> connect{"connect"};
inline constinit Function<int(int, sockaddr*, socklen_t*)> accept{"accept"};
inline constinit Function<int(int, sockaddr*, socklen_t*, int)> accept4{"accept4"};

inline constinit Function<int(pollfd*, nfds_t, int)> poll{"poll"};
inline constinit Function<int(pollfd*, nfds_t, const timespec*, const sigset_t*)> ppoll{"ppoll"};
inline constinit Function<int(int, fd_set*, fd_set*, fd_set*, timeval*)> select{"select"};

inline constinit Function<unsigned(unsigned)> sleep{"sleep"};
inline constinit Function<int(useconds_t)> usleep{"usleep"};
inline constinit Function<int(const timespec*, timespec*)> nanosleep{"nanosleep"};
inline constinit Function<int(clockid_t, int, const timespec*, timespec*)> clock_nanosleep{"clock_nanosleep"};

inline constinit Function<int(const char*, const char*, const addrinfo*, addrinfo**)> getaddrinfo{
    "getaddrinfo"};
inline constinit Function<int(const sockaddr*, socklen_t, char*, socklen_t, char*, socklen_t, int)>
    getnameinfo{"getnameinfo"};

inline constinit Function<int(int)> close{"close"};
inline constinit Function<int(int, int)> dup2{"dup2"};
inline constinit Function<int(int, int, int)> dup3{"dup3"};
inline constinit Function<int(std::FILE*)> fclose{"fclose"};
inline constinit Function<int(std::FILE*)> pclose{"pclose"};
inline constinit Function<int(unsigned, unsigned, int)> close_range{"close_range"};
inline constinit Function<void(int)> closefrom{"closefrom"};

}  // namespace aiofiber::hooks::real
