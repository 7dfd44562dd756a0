// SPDX-License-Identifier: Apache-2.0
//
// Hosts, users and groups: gethostby*, getpw*, getgr* and their _r forms, on the offload pool, because the
// answer may come from a server (DNS, LDAP, sssd).
//
// In libc the forms without _r return static memory. Here the memory belongs to the task, so another task's
// lookup does not change it. It is valid until the task's next call of the same kind, or the task's end.
#include <arpa/inet.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>

#include <cerrno>

#include "aiofiber/runtime/engine/real_network.h"
#include "hooks/core/act.h"
#include "hooks/core/locals.h"
#include "hooks/core/on_pool.h"
#include "hooks/core/real.h"
#include "hooks/names/simulated_names.h"

namespace aiofiber::hooks {

namespace {

// A lookup with _r: returns its error number, which is never -1.
template <class Lookup>
int look_up_r(Lookup lookup) {
  const int saved_errno = errno;
  const int error = on_pool(-1, lookup);
  const int result = error == -1 ? errno : error;
  errno = saved_errno;
  return result;
}

// Runs lookup(entry, memory, size, &found) on the pool, with more memory each time until the answer fits.
// `stays`: it must be called here.
template <class Entry, class Lookup>
Entry* look_up_stored(StoredEntry<Entry> Locals::*member, Lookup lookup, bool stays = false) {
  constexpr std::size_t kFirstSize = 1024;
  Entry* found = nullptr;
  int error = 0;
  const bool done = without_throwing([&] {
    StoredEntry<Entry>& stored = get_locals().*member;
    if (stored.memory.empty()) stored.memory.resize(kFirstSize);
    const auto call = [&] {
      return lookup(&stored.entry, stored.memory.data(), stored.memory.size(), &found);
    };
    stays = stays || must_stay_here(lookup);
    while ((error = stays ? call() : look_up_r(call)) == ERANGE) {
      stored.memory.resize(stored.memory.size() * 2);
    }
  });
  if (!done) return nullptr;
  if (error != 0) errno = error;
  return error == 0 ? found : nullptr;
}

template <class Lookup>
hostent* look_up_host(Lookup lookup) {
  int host_error = NETDB_INTERNAL;
  hostent* found = look_up_stored(
      &Locals::host,
      [&](hostent* entry, char* memory, std::size_t size, hostent** result) {
        return lookup(entry, memory, size, result, &host_error);
      },
      must_stay_here(lookup));
  if (found == nullptr) h_errno = host_error;
  return found;
}

// The name to ask libc for. On a simulated machine it is the address that the machine's network gives.
class HostName {
 public:
  explicit HostName(const char* name, int family = AF_INET) : text_(name) {
    runtime::Network* const network = runtime::current_network;
    if (AIOFIBER_LIKELY(network == nullptr) || is_address(name)) return;
    if (!look_up_simulated(*network, name, answer_)) {
      error_ = NETDB_INTERNAL;
    } else if (answer_.error != 0) {
      error_ = answer_.error == EAI_AGAIN ? TRY_AGAIN : HOST_NOT_FOUND;
    } else {
      text_ = family == AF_INET6 ? answer_.address6 : answer_.address;
      if (text_[0] == '\0') error_ = NO_DATA;
    }
  }
  HostName(const HostName&) = delete;
  HostName& operator=(const HostName&) = delete;
  const char* text() const noexcept { return text_; }
  int error() const noexcept { return error_; }  // for h_errno; 0: none

 private:
  runtime::NameAnswer answer_{};
  const char* text_;
  int error_ = 0;
};

hostent* not_found(int error) noexcept {
  h_errno = error;
  return nullptr;
}

int refused(hostent** result, int* error) noexcept {
  *result = nullptr;
  *error = NO_RECOVERY;
  return 0;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

// ---- hosts

int gethostbyname_r(const char* name, hostent* entry, char* memory, size_t size, hostent** result,
                    int* error) {
  if (is_name_closed("gethostbyname", name)) return refused(result, error);
  if (!acts()) return real::gethostbyname_r(name, entry, memory, size, result, error);
  *result = nullptr;
  const HostName asked(name);
  *error = asked.error();
  if (*error != 0) return 0;
  *error = NETDB_INTERNAL;
  name = asked.text();
  return look_up_r([=] { return real::gethostbyname_r(name, entry, memory, size, result, error); });
}

int gethostbyname2_r(const char* name, int family, hostent* entry, char* memory, size_t size,
                     hostent** result, int* error) {
  if (is_name_closed("gethostbyname", name)) return refused(result, error);
  if (!acts()) return real::gethostbyname2_r(name, family, entry, memory, size, result, error);
  *result = nullptr;
  const HostName asked(name, family);
  *error = asked.error();
  if (*error != 0) return 0;
  *error = NETDB_INTERNAL;
  name = asked.text();
  return look_up_r([=] { return real::gethostbyname2_r(name, family, entry, memory, size, result, error); });
}

int gethostbyaddr_r(const void* address, socklen_t length, int family, hostent* entry, char* memory,
                    size_t size, hostent** result, int* error) {
  if (aiofiber::runtime::is_name_service_closed("gethostbyaddr")) return refused(result, error);
  if (!acts()) return real::gethostbyaddr_r(address, length, family, entry, memory, size, result, error);
  *result = nullptr;
  *error = HOST_NOT_FOUND;
  if (AIOFIBER_UNLIKELY(aiofiber::runtime::current_network != nullptr))
    return 0;  // it knows no names of addresses
  *error = NETDB_INTERNAL;
  return look_up_r(
      [=] { return real::gethostbyaddr_r(address, length, family, entry, memory, size, result, error); });
}

hostent* gethostbyname(const char* name) {
  if (is_name_closed("gethostbyname", name)) return not_found(NO_RECOVERY);
  if (!acts()) return real::gethostbyname(name);
  const HostName asked(name);
  if (asked.error() != 0) return not_found(asked.error());
  name = asked.text();
  return look_up_host([=](auto... rest) { return real::gethostbyname_r(name, rest...); });
}

hostent* gethostbyname2(const char* name, int family) {
  if (is_name_closed("gethostbyname", name)) return not_found(NO_RECOVERY);
  if (!acts()) return real::gethostbyname2(name, family);
  const HostName asked(name, family);
  if (asked.error() != 0) return not_found(asked.error());
  name = asked.text();
  return look_up_host([=](auto... rest) { return real::gethostbyname2_r(name, family, rest...); });
}

hostent* gethostbyaddr(const void* address, socklen_t length, int family) {
  if (aiofiber::runtime::is_name_service_closed("gethostbyaddr")) return not_found(NO_RECOVERY);
  if (!acts()) return real::gethostbyaddr(address, length, family);
  if (AIOFIBER_UNLIKELY(aiofiber::runtime::current_network != nullptr)) return not_found(HOST_NOT_FOUND);
  return look_up_host([=](auto... rest) { return real::gethostbyaddr_r(address, length, family, rest...); });
}

// ---- users and groups

int getpwnam_r(const char* name, passwd* entry, char* memory, size_t size, passwd** result) {
  if (!acts()) return real::getpwnam_r(name, entry, memory, size, result);
  *result = nullptr;
  return look_up_r([=] { return real::getpwnam_r(name, entry, memory, size, result); });
}

int getpwuid_r(uid_t id, passwd* entry, char* memory, size_t size, passwd** result) {
  if (!acts()) return real::getpwuid_r(id, entry, memory, size, result);
  *result = nullptr;
  return look_up_r([=] { return real::getpwuid_r(id, entry, memory, size, result); });
}

int getgrnam_r(const char* name, group* entry, char* memory, size_t size, group** result) {
  if (!acts()) return real::getgrnam_r(name, entry, memory, size, result);
  *result = nullptr;
  return look_up_r([=] { return real::getgrnam_r(name, entry, memory, size, result); });
}

int getgrgid_r(gid_t id, group* entry, char* memory, size_t size, group** result) {
  if (!acts()) return real::getgrgid_r(id, entry, memory, size, result);
  *result = nullptr;
  return look_up_r([=] { return real::getgrgid_r(id, entry, memory, size, result); });
}

passwd* getpwnam(const char* name) {
  if (!acts()) return real::getpwnam(name);
  return look_up_stored(&Locals::user, [=](auto... rest) { return real::getpwnam_r(name, rest...); });
}

passwd* getpwuid(uid_t id) {
  if (!acts()) return real::getpwuid(id);
  return look_up_stored(&Locals::user, [=](auto... rest) { return real::getpwuid_r(id, rest...); });
}

group* getgrnam(const char* name) {
  if (!acts()) return real::getgrnam(name);
  return look_up_stored(&Locals::user_group, [=](auto... rest) { return real::getgrnam_r(name, rest...); });
}

group* getgrgid(gid_t id) {
  if (!acts()) return real::getgrgid(id);
  return look_up_stored(&Locals::user_group, [=](auto... rest) { return real::getgrgid_r(id, rest...); });
}

int getgrouplist(const char* user, gid_t first, gid_t* groups, int* count) {
  if (!acts()) return real::getgrouplist(user, first, groups, count);
  return on_pool(-1, [=] { return real::getgrouplist(user, first, groups, count); });
}

int initgroups(const char* user, gid_t first) {
  if (!acts()) return real::initgroups(user, first);
  return on_pool(-1, [=] { return real::initgroups(user, first); });
}

}  // extern "C"
