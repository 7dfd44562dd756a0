// SPDX-License-Identifier: Apache-2.0
//
// Name service: getaddrinfo and getnameinfo run on the offload pool while the task sleeps.
//
// glibc's resolver makes its system calls internally, where no hook sees them, so it needs a thread. Numeric
// names need no resolver and are answered at once.
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "aiofiber/hooks.h"
#include "aiofiber/runtime/engine/offload.h"
#include "aiofiber/runtime/engine/real_network.h"
#include "hooks/core/act.h"
#include "hooks/core/real.h"
#include "hooks/names/look_up.h"
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

struct AddressLookUp final : runtime::DetachedCall {
  AddressLookUp(const char* its_node, const char* its_service, const addrinfo* its_hints)
      : node(its_node),
        service(its_service),
        hints(its_hints != nullptr ? std::optional<addrinfo>(*its_hints) : std::nullopt) {}
  ~AddressLookUp() override {
    if (list != nullptr) ::freeaddrinfo(list);
  }

  void call() noexcept override {
    error = real::getaddrinfo(node.get(), service.get(), hints ? &*hints : nullptr, &list);
    error_number = errno;
  }

  const OwnText node, service;
  const std::optional<addrinfo> hints;
  addrinfo* list = nullptr;
  int error = EAI_SYSTEM;
  int error_number = 0;
};

int look_up_addresses(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
  const int errno_at_start = errno;
  auto* const call = look_up<AddressLookUp>(node, service, hints);
  if (call == nullptr) return errno == ENOMEM ? EAI_MEMORY : EAI_SYSTEM;
  const int error = call->error;
  *result = std::exchange(call->list, nullptr);
  errno = error == EAI_SYSTEM ? call->error_number : errno_at_start;
  end_look_up();
  return error;
}

// As many bytes as libc reads. The length that the program gives may be more than the address has.
std::size_t bytes_read(const sockaddr* address, socklen_t length) noexcept {
  if (length < sizeof address->sa_family) return length;
  const std::size_t most = address->sa_family == AF_INET    ? sizeof(sockaddr_in)
                           : address->sa_family == AF_INET6 ? sizeof(sockaddr_in6)
                           : address->sa_family == AF_UNIX  ? sizeof(sockaddr_un)
                                                            : sizeof(sockaddr);
  return std::min<std::size_t>(length, most);
}

struct NameLookUp final : runtime::DetachedCall {
  NameLookUp(const sockaddr* its_address, socklen_t its_length, bool wants_host, socklen_t host_size,
             bool wants_service, socklen_t service_size, int its_flags)
      : address(reinterpret_cast<const char*>(its_address), bytes_read(its_address, its_length)),
        length(its_length),
        flags(its_flags) {
    if (wants_host) host.emplace(host_size, '\0');
    if (wants_service) service.emplace(service_size, '\0');
  }

  void call() noexcept override {
    error = real::getnameinfo(reinterpret_cast<const sockaddr*>(address.data()), length,
                              host ? host->data() : nullptr, size_of(host),
                              service ? service->data() : nullptr, size_of(service), flags);
    error_number = errno;
  }
  static socklen_t size_of(const std::optional<std::string>& text) noexcept {
    return text ? static_cast<socklen_t>(text->size()) : 0;
  }
  static void take(const std::optional<std::string>& text, char* to) noexcept {
    if (text && !text->empty()) std::memcpy(to, text->data(), std::strlen(text->data()) + 1);
  }

  const std::string address;
  const socklen_t length;
  const int flags;
  std::optional<std::string> host, service;
  int error = EAI_SYSTEM;
  int error_number = 0;
};

int look_up_name(const sockaddr* address, socklen_t length, char* host, socklen_t host_size, char* service,
                 socklen_t service_size, int flags) {
  const int errno_at_start = errno;
  auto* const call = look_up<NameLookUp>(address, length, host != nullptr, host_size, service != nullptr,
                                         service_size, flags);
  if (call == nullptr) return errno == ENOMEM ? EAI_MEMORY : EAI_SYSTEM;
  const int error = call->error;
  if (error == 0) {
    NameLookUp::take(call->host, host);
    NameLookUp::take(call->service, service);
  }
  errno = error == EAI_SYSTEM ? call->error_number : errno_at_start;
  end_look_up();
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
  return look_up_name(address, length, host, host_size, service, service_size, flags);
}

}  // extern "C"
