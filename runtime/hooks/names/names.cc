// SPDX-License-Identifier: Apache-2.0
//
// Name service: getaddrinfo and getnameinfo run on the offload pool while the task sleeps.
//
// A server that does not answer keeps getaddrinfo for half a minute. So a cancellation, and a task's alarm
// whose handler jumps away, leave it behind: it has copies of its arguments, and frees its answer.
// glibc's resolver makes its system calls internally, where no hook sees them, so it needs a thread. Numeric
// names need no resolver and are answered at once.
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "aiofiber/hooks.h"
#include "aiofiber/runtime/engine/offload.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/real_network.h"
#include "hooks/core/act.h"
#include "hooks/core/locals.h"
#include "hooks/core/on_pool.h"
#include "hooks/core/real.h"
#include "hooks/core/task_alarm.h"
#include "hooks/names/simulated_names.h"

namespace aiofiber::hooks {

namespace {

bool is_number(const char* text) noexcept {
  return text[0] != '\0' && text[std::strspn(text, "0123456789")] == '\0';
}

// Whether the answer is in the arguments, so that libc asks neither a file nor a server.
bool needs_no_lookup(const char* node, const char* service, const addrinfo* hints) noexcept {
  const bool numeric_node =
      node == nullptr || is_address(node) || (hints != nullptr && (hints->ai_flags & AI_NUMERICHOST) != 0);
  const bool numeric_service = service == nullptr || is_number(service) ||
                               (hints != nullptr && (hints->ai_flags & AI_NUMERICSERV) != 0);
  const bool wants_name = hints != nullptr && (hints->ai_flags & AI_CANONNAME) != 0;
  return numeric_node && numeric_service && !wants_name;
}

// A cancelled task starts no look-up.
int refuse() {
  without_throwing(
      [] { runtime::Parker().park(AIOFIBER_WAIT_OFFLOAD, 0); });  // slows down a task that retries
  errno = ECANCELED;
  return EAI_SYSTEM;
}

// Runs a lookup on the pool. If the task is cancelled meanwhile, it still gets the answer, because the
// arguments are on its stack, and the cancellation comes at its next wait.
template <class Lookup>
int look_up(Lookup lookup) {
  const runtime::Fiber& fiber = *runtime::current_fiber();
  if (fiber.interrupted || fiber.unwinding) return refuse();
  if (must_stay_here(lookup)) {
    const Disable disabled;
    return lookup();
  }
  calls_since_turn = 0;
  int result = EAI_SYSTEM;
  if (!without_throwing([&] { result = runtime::offload(lookup); }))
    return errno == ENOMEM ? EAI_MEMORY : EAI_SYSTEM;
  return result;
}

// getaddrinfo on the pool.
struct AddressLookup final : runtime::DetachedCall {
  AddressLookup(const char* its_node, const char* its_service, const addrinfo* its_hints)
      : node(its_node != nullptr ? std::optional<std::string>(its_node) : std::nullopt),
        service(its_service != nullptr ? std::optional<std::string>(its_service) : std::nullopt),
        hints(its_hints != nullptr ? std::optional<addrinfo>(*its_hints) : std::nullopt) {}
  ~AddressLookup() override {
    if (list != nullptr) ::freeaddrinfo(list);
  }

  void call() noexcept override {
    error = real::getaddrinfo(node ? node->c_str() : nullptr, service ? service->c_str() : nullptr,
                              hints ? &*hints : nullptr, &list);
    error_number = errno;
  }

  const std::optional<std::string> node, service;
  const std::optional<addrinfo> hints;
  addrinfo* list = nullptr;
  int error = EAI_SYSTEM;
  int error_number = 0;
};

// Waits for the task's look-up. False: a cancellation ended it. An alarm's handler may jump away; otherwise
// the wait goes on, as libc's own does after a signal.
bool wait_for_lookup() {
  for (;;) {
    run_alarm_handler(AfterAlarm::kMayGoOn);
    runtime::Wake reason = runtime::Wake::kNone;
    {
      const AlarmEndsWait ends_wait;
      reason = find_locals()->look_up->wait();
    }
    if (reason != runtime::Wake::kAlarm) return reason == runtime::Wake::kUnparked;
  }
}

int look_up_addresses(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
  const int errno_at_start = errno;
  const runtime::Fiber& fiber = *runtime::current_fiber();
  if (fiber.interrupted || fiber.unwinding) return refuse();
  calls_since_turn = 0;
  AddressLookup* call = nullptr;
  const bool started = without_throwing([&] {
    auto& look_up = get_locals().look_up;
    look_up.reset(call = new AddressLookup(node, service, hints));
    call->start(runtime::OffloadPool::io());
  });
  if (!started) return errno == ENOMEM ? EAI_MEMORY : EAI_SYSTEM;
  int error = EAI_SYSTEM;
  if (!wait_for_lookup()) {
    errno = ECANCELED;
  } else {
    error = call->error;
    *result = std::exchange(call->list, nullptr);
    errno = error == EAI_SYSTEM ? call->error_number : errno_at_start;
  }
  const int last_errno = errno;
  find_locals()->look_up.reset();
  errno = last_errno;
  return error;
}

// What libc makes of a numeric address, behind the list so far.
int add_address(const char* address, const char* service, const addrinfo& hints, addrinfo** list) {
  while (*list != nullptr) list = &(*list)->ai_next;
  const Disable disabled;
  return real::getaddrinfo(address, service, &hints, list);
}

// The answer of a simulated network. The machine's own interfaces (AI_ADDRCONFIG) play no part. IPv4 comes
// first.
int simulated_getaddrinfo(runtime::Network& network, const char* node, const char* service,
                          const addrinfo* hints, addrinfo** result) {
  runtime::NameAnswer answer;
  if (!look_up_simulated(network, node, answer)) return EAI_SYSTEM;
  if (answer.error != 0) return answer.error;
  addrinfo numeric = hints != nullptr ? *hints : addrinfo{};
  numeric.ai_flags = (numeric.ai_flags & ~(AI_ADDRCONFIG | AI_CANONNAME)) | AI_NUMERICHOST;
  const bool has4 = answer.address[0] != '\0';
  const bool has6 = answer.address6[0] != '\0';
  // With AI_V4MAPPED libc makes an IPv6 address of an IPv4 one.
  const bool maps = (numeric.ai_flags & AI_V4MAPPED) != 0 && (!has6 || (numeric.ai_flags & AI_ALL) != 0);
  const bool wants4 = numeric.ai_family != AF_INET6 || maps;
  const bool wants6 = numeric.ai_family != AF_INET;
  addrinfo* list = nullptr;
  int error = (has4 && wants4) || (has6 && wants6) ? 0 : EAI_NODATA;
  if (has4 && wants4) error = add_address(answer.address, service, numeric, &list);
  if (error == 0 && has6 && wants6) error = add_address(answer.address6, service, numeric, &list);
  if (error == 0) {
    *result = list;
  } else if (list != nullptr) {
    ::freeaddrinfo(list);
  }
  return error;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
  if (is_name_closed("getaddrinfo", node)) return EAI_FAIL;
  if (!acts()) return real::getaddrinfo(node, service, hints, result);
  if (needs_no_lookup(node, service, hints)) {
    const Disable disabled;
    return real::getaddrinfo(node, service, hints, result);
  }
  if (aiofiber::runtime::Network* const network = aiofiber::runtime::current_network;
      AIOFIBER_UNLIKELY(network != nullptr) && node != nullptr && !is_address(node)) {
    return simulated_getaddrinfo(*network, node, service, hints, result);
  }
  return look_up_addresses(node, service, hints, result);
}

int getnameinfo(const sockaddr* address, socklen_t length, char* host, socklen_t host_size, char* service,
                socklen_t service_size, int flags) {
  if (host != nullptr && (flags & NI_NUMERICHOST) == 0 &&
      aiofiber::runtime::is_name_service_closed("getnameinfo"))
    return EAI_FAIL;
  if (!acts()) return real::getnameinfo(address, length, host, host_size, service, service_size, flags);
  // A simulated network knows no names of addresses.
  if (AIOFIBER_UNLIKELY(aiofiber::runtime::current_network != nullptr)) flags |= NI_NUMERICHOST;
  const bool no_host_lookup = host == nullptr || (flags & NI_NUMERICHOST) != 0;
  const bool no_service_lookup = service == nullptr || (flags & NI_NUMERICSERV) != 0;
  if (no_host_lookup && no_service_lookup) {
    const Disable disabled;
    return real::getnameinfo(address, length, host, host_size, service, service_size, flags);
  }
  return look_up(
      [=] { return real::getnameinfo(address, length, host, host_size, service, service_size, flags); });
}

}  // extern "C"
