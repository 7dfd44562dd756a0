// SPDX-License-Identifier: Apache-2.0
//
// Names of libc that the hooks leave alone and a simulation needs: what names and prepares sockets, the
// clocks and the random numbers. In a task of a simulated machine they ask that machine. Anywhere else they
// are libc's.
//
// Only programs that use a Simulation contain this file (keep_libc_names()), so no other program pays for a
// call of clock_gettime() that passes here.
#include "simulation/libc_names.h"

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <ctime>

#include "aiofiber/runtime/engine/network.h"
#include "aiofiber/runtime/engine/real_network.h"
#include "simulation/call_results.h"
#include "simulation/host.h"

extern "C" void* aiofiber_real_function(const char* name, const char* version) noexcept;  // of the hooks

namespace aiofiber::testing::detail {

namespace {

using runtime::Nanoseconds;

// libc's function of a name that is defined here, found at its first call.
template <class Signature>
class Real;
template <class R, class... A>
class Real<R(A...)> {
 public:
  constexpr explicit Real(const char* name) noexcept : name_(name) {}
  R operator()(A... arguments) {
    auto function = function_.load(std::memory_order_relaxed);
    if (__builtin_expect(function == nullptr, 0)) {
      function = reinterpret_cast<R (*)(A...)>(aiofiber_real_function(name_, nullptr));
      function_.store(function, std::memory_order_relaxed);
    }
    return function(arguments...);
  }

 private:
  const char* name_;
  std::atomic<R (*)(A...)> function_{nullptr};
};

constinit Real<int(int, const sockaddr*, socklen_t)> real_bind{"bind"};
constinit Real<int(int, int)> real_listen{"listen"};
constinit Real<int(int, sockaddr*, socklen_t*)> real_getsockname{"getsockname"};
constinit Real<int(int, sockaddr*, socklen_t*)> real_getpeername{"getpeername"};
constinit Real<int(int, int, int, void*, socklen_t*)> real_getsockopt{"getsockopt"};
constinit Real<int(int, int)> real_shutdown{"shutdown"};
constinit Real<int(clockid_t, timespec*)> real_clock_gettime{"clock_gettime"};
constinit Real<int(timeval*, void*)> real_gettimeofday{"gettimeofday"};
constinit Real<time_t(time_t*)> real_time{"time"};
constinit Real<ssize_t(void*, size_t, unsigned)> real_getrandom{"getrandom"};
constinit Real<int(void*, size_t)> real_getentropy{"getentropy"};
constinit Real<int(timespec*, int)> real_timespec_get{"timespec_get"};
constinit Real<int(int, int, const itimerspec*, itimerspec*)> real_timerfd_settime{"timerfd_settime"};
constinit Real<int(int, itimerspec*)> real_timerfd_gettime{"timerfd_gettime"};
constinit Real<long()> real_random{"random"};
constinit Real<void(unsigned)> real_srandom{"srandom"};
constinit Real<int()> real_rand{"rand"};
constinit Real<void(unsigned)> real_srand{"srand"};

Host* caller() noexcept { return Host::of_calling_program(); }
runtime::Network* network() noexcept { return caller() != nullptr ? runtime::current_network : nullptr; }

// Fills the buffer from the seed. False: the caller gets the system's numbers.
bool fill_from_seed(void* buffer, std::size_t bytes) noexcept {
  Host* const host = caller();
  if (host == nullptr || !host->world().seeds_random()) return false;
  host->world().fill_from_seed(buffer, bytes);
  return true;
}

// A number of the seed; false: the caller gets the process's.
bool draw_from_seed(std::uint64_t below, std::uint64_t& number) noexcept {
  Host* const host = caller();
  if (host == nullptr || !host->world().seeds_random()) return false;
  number = host->world().chooser().choose(below);
  return true;
}
bool seeds_random() noexcept {
  Host* const host = caller();
  return host != nullptr && host->world().seeds_random();
}

// A simulated timer with its machine; null: the descriptor is something else.
Endpoint* timer_of(Host* host, int fd) noexcept {
  Endpoint* const endpoint = host != nullptr ? host->world().wires().of_descriptor(fd) : nullptr;
  return endpoint != nullptr && endpoint->kind == Endpoint::Kind::kTimer ? endpoint : nullptr;
}

bool is_wall_clock(clockid_t clock) noexcept {
  return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

}  // namespace

void keep_libc_names() noexcept {}

}  // namespace aiofiber::testing::detail

using namespace aiofiber::testing::detail;

extern "C" {

int bind(int fd, const sockaddr* address, socklen_t length) noexcept {
  aiofiber::runtime::Network* const simulated = network();
  if (simulated != nullptr) return simulated->bind(fd, address, length);
  return aiofiber::runtime::is_unreachable("bind", address, length) ? -1 : real_bind(fd, address, length);
}

int listen(int fd, int backlog) noexcept {
  aiofiber::runtime::Network* const simulated = network();
  if (simulated != nullptr) return simulated->listen(fd, backlog);
  sockaddr_storage own{};
  socklen_t length = sizeof own;
  if (real_getsockname(fd, reinterpret_cast<sockaddr*>(&own), &length) == 0 &&
      aiofiber::runtime::is_unreachable("listen", &own, length))
    return -1;
  return real_listen(fd, backlog);
}

int getsockname(int fd, sockaddr* address, socklen_t* length) noexcept {
  aiofiber::runtime::Network* const simulated = network();
  return simulated != nullptr ? simulated->socket_name(fd, address, length)
                              : real_getsockname(fd, address, length);
}

int getpeername(int fd, sockaddr* address, socklen_t* length) noexcept {
  aiofiber::runtime::Network* const simulated = network();
  return simulated != nullptr ? simulated->peer_name(fd, address, length)
                              : real_getpeername(fd, address, length);
}

int getsockopt(int fd, int level, int option, void* value, socklen_t* length) noexcept {
  aiofiber::runtime::Network* const simulated = network();
  return simulated != nullptr ? simulated->get_option(fd, level, option, value, length)
                              : real_getsockopt(fd, level, option, value, length);
}

int shutdown(int fd, int how) noexcept {
  aiofiber::runtime::Network* const simulated = network();
  return simulated != nullptr ? simulated->shut_down(fd, how) : real_shutdown(fd, how);
}

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const Host* const host = caller();
  if (host == nullptr) return real_clock_gettime(clock, time);
  *time = to_timespec(is_wall_clock(clock) ? host->wall_time() : host->monotonic_time());
  return 0;
}

int gettimeofday(timeval* time, void* zone) noexcept {
  const Host* const host = caller();
  if (host == nullptr) return real_gettimeofday(time, zone);
  const timespec now = to_timespec(host->wall_time());
  *time = {now.tv_sec, now.tv_nsec / 1000};
  return 0;
}

time_t time(time_t* result) noexcept {
  const Host* const host = caller();
  if (host == nullptr) return real_time(result);
  const time_t seconds = host->wall_time() / kSecond;
  if (result != nullptr) *result = seconds;
  return seconds;
}

int timespec_get(timespec* time, int base) noexcept {
  const Host* const host = caller();
  if (host == nullptr || base != TIME_UTC) return real_timespec_get(time, base);
  *time = to_timespec(host->wall_time());
  return base;
}

ssize_t getrandom(void* buffer, size_t bytes, unsigned flags) {
  if (fill_from_seed(buffer, bytes)) return static_cast<ssize_t>(bytes);
  return real_getrandom(buffer, bytes, flags);
}

int getentropy(void* buffer, size_t bytes) {
  return fill_from_seed(buffer, bytes) ? 0 : real_getentropy(buffer, bytes);
}

// rand() and random() belong to the process: their order would depend on what ran before the simulation.
long random() noexcept {
  std::uint64_t number;
  return draw_from_seed(std::uint64_t{1} << 31, number) ? static_cast<long>(number) : real_random();
}
int rand() noexcept {
  std::uint64_t number;
  return draw_from_seed(std::uint64_t{1} << 31, number) ? static_cast<int>(number) : real_rand();
}
void srandom(unsigned seed) noexcept {
  if (!seeds_random()) real_srandom(seed);
}
void srand(unsigned seed) noexcept {
  if (!seeds_random()) real_srand(seed);
}

int timerfd_settime(int fd, int flags, const itimerspec* to, itimerspec* before) noexcept {
  Host* const host = caller();
  Endpoint* const timer = timer_of(host, fd);
  if (timer == nullptr) return real_timerfd_settime(fd, flags, to, before);
  if (to != nullptr) return host->world().timers().set(*timer, fd, flags, *to, before);
  errno = EFAULT;
  return -1;
}

int timerfd_gettime(int fd, itimerspec* now) noexcept {
  Host* const host = caller();
  Endpoint* const timer = timer_of(host, fd);
  if (timer == nullptr) return real_timerfd_gettime(fd, now);
  if (now == nullptr) {
    errno = EFAULT;
    return -1;
  }
  host->world().timers().get(*timer, *now);
  return 0;
}

}  // extern "C"
