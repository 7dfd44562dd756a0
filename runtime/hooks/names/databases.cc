// SPDX-License-Identifier: Apache-2.0
//
// Hosts, users and groups: gethostby*, getpw*, getgr* and their _r forms, on the offload pool, because the
// answer may come from a server (DNS, LDAP, sssd). A task can leave all but getgrouplist and initgroups
// behind.
//
// In libc the forms without _r return static memory. Here the memory belongs to the task, so another task's
// lookup does not change it. It is valid until the task's next call of the same kind, or the task's end.
#include <arpa/inet.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "aiofiber/runtime/engine/real_network.h"
#include "hooks/core/act.h"
#include "hooks/core/locals.h"
#include "hooks/core/on_pool.h"
#include "hooks/core/real.h"
#include "hooks/names/look_up.h"
#include "hooks/names/simulated_names.h"

namespace aiofiber::hooks {

namespace {

// Moves the pointers of an answer that lead into its memory, which was copied.
class Moved {
 public:
  Moved(const char* from, std::size_t bytes, char* to) noexcept : from_(from), bytes_(bytes), to_(to) {}

  template <class T>
  bool move(T*& pointer) const noexcept {
    const auto at = reinterpret_cast<std::uintptr_t>(pointer) - reinterpret_cast<std::uintptr_t>(from_);
    if (at >= bytes_) return false;
    pointer = reinterpret_cast<T*>(to_ + at);
    return true;
  }
  // A list that ends with null.
  void move_list(char**& list) const noexcept {
    if (!move(list)) return;
    for (char** element = list; *element != nullptr; ++element) move(*element);
  }

 private:
  const char* from_;
  std::size_t bytes_;
  char* to_;
};

void move_pointers(hostent& entry, const Moved& memory) noexcept {
  memory.move(entry.h_name);
  memory.move_list(entry.h_aliases);
  memory.move_list(entry.h_addr_list);
}
void move_pointers(passwd& entry, const Moved& memory) noexcept {
  for (char** text : {&entry.pw_name, &entry.pw_passwd, &entry.pw_gecos, &entry.pw_dir, &entry.pw_shell})
    memory.move(*text);
}
void move_pointers(group& entry, const Moved& memory) noexcept {
  memory.move(entry.gr_name);
  memory.move(entry.gr_passwd);
  memory.move_list(entry.gr_mem);
}

// A call with _r. Ask: ask(entry, memory, size, &found, &host_error), with copies of the arguments.
template <class Entry, class Ask>
struct EntryLookUp final : runtime::DetachedCall {
  // `make`: returns the Ask. `grows`: with more memory each time until the answer fits.
  template <class Make>
  EntryLookUp(const Make& make, std::size_t its_size, bool its_grows)
      : ask(make()), memory(new char[its_size]), size(its_size), grows(its_grows) {}

  void call() noexcept override {
    while ((error = ask(&entry, memory.get(), size, &found, &host_error)) == ERANGE && grows) {
      memory.reset(new (std::nothrow) char[size * 2]);
      if (memory == nullptr) {
        error = ENOMEM;
        return;
      }
      size *= 2;
    }
  }

  Ask ask;
  Entry entry{};
  std::unique_ptr<char[]> memory;
  std::size_t size;
  const bool grows;
  Entry* found = nullptr;
  int host_error = NETDB_INTERNAL;
  int error = 0;
};

// Returns an error number.
template <class Entry, class Make>
int look_up_r(Make make, Entry* entry, char* memory, std::size_t size, Entry** result, int* host_error) {
  using Ask = decltype(make());
  const int errno_at_start = errno;
  *result = nullptr;
  *host_error = NETDB_INTERNAL;
  // libc aligns pointers in the memory, so the copy must be as aligned as the call's own memory.
  const std::size_t unaligned = -reinterpret_cast<std::uintptr_t>(memory) % alignof(std::max_align_t);
  char* const aligned = memory + std::min(unaligned, size);
  size -= std::min(unaligned, size);
  const auto* const call = look_up<EntryLookUp<Entry, Ask>>(make, size, false);
  int error = errno;
  if (call != nullptr) {
    error = call->error;
    *host_error = call->host_error;
    if (call->found != nullptr) {
      std::memcpy(aligned, call->memory.get(), size);
      *entry = call->entry;
      move_pointers(*entry, Moved(call->memory.get(), size, aligned));
      *result = entry;
    }
    end_look_up();
  }
  errno = errno_at_start;
  return error;
}
template <class Entry, class Make>
int look_up_r(Make make, Entry* entry, char* memory, std::size_t size, Entry** result) {
  int unused = 0;
  return look_up_r(make, entry, memory, size, result, &unused);
}

// Stores the answer with the task.
template <class Entry, class Make>
Entry* look_up_stored(StoredEntry<Entry> Locals::*member, Make make, int* host_error) {
  using Ask = decltype(make());
  constexpr std::size_t kFirstSize = 1024;
  const int errno_at_start = errno;
  auto* const call = look_up<EntryLookUp<Entry, Ask>>(make, kFirstSize, true);
  if (call == nullptr) return nullptr;
  StoredEntry<Entry>& stored = find_locals()->*member;
  const bool is_found = call->error == 0 && call->found != nullptr;
  if (is_found) {
    stored.memory = std::move(call->memory);
    stored.entry = call->entry;
  }
  *host_error = call->host_error;
  errno = call->error != 0 ? call->error : errno_at_start;
  end_look_up();
  return is_found ? &stored.entry : nullptr;
}
template <class Entry, class Make>
Entry* look_up_stored(StoredEntry<Entry> Locals::*member, Make make) {
  int unused = 0;
  return look_up_stored(member, make, &unused);
}

template <class Make>
hostent* look_up_host(Make make) {
  int host_error = NETDB_INTERNAL;
  hostent* const found = look_up_stored(&Locals::host, make, &host_error);
  if (found == nullptr) h_errno = host_error;
  return found;
}

// What the pool calls: each returns a function that copies the arguments into another one.
auto host_by_name(const char* name) {
  return [name] {
    return [text = OwnText(name)](auto... rest) { return real::gethostbyname_r(text.get(), rest...); };
  };
}
auto host_by_name2(const char* name, int family) {
  return [name, family] {
    return [text = OwnText(name), family](auto... rest) {
      return real::gethostbyname2_r(text.get(), family, rest...);
    };
  };
}
auto host_by_address(const void* address, socklen_t length, int family) {
  return [address, length, family] {
    const std::size_t most = std::min<std::size_t>(length, sizeof(in6_addr));  // libc reads no more
    return [bytes = std::string(static_cast<const char*>(address), most), length, family](auto... rest) {
      return real::gethostbyaddr_r(bytes.data(), length, family, rest...);
    };
  };
}
auto user_by_name(const char* name) {
  return [name] {
    return [text = OwnText(name)](passwd* entry, char* memory, std::size_t size, passwd** result, int*) {
      return real::getpwnam_r(text.get(), entry, memory, size, result);
    };
  };
}
auto user_by_id(uid_t id) {
  return [id] {
    return [id](passwd* entry, char* memory, std::size_t size, passwd** result, int*) {
      return real::getpwuid_r(id, entry, memory, size, result);
    };
  };
}
auto group_by_name(const char* name) {
  return [name] {
    return [text = OwnText(name)](group* entry, char* memory, std::size_t size, group** result, int*) {
      return real::getgrnam_r(text.get(), entry, memory, size, result);
    };
  };
}
auto group_by_id(gid_t id) {
  return [id] {
    return [id](group* entry, char* memory, std::size_t size, group** result, int*) {
      return real::getgrgid_r(id, entry, memory, size, result);
    };
  };
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
  return look_up_r(host_by_name(asked.text()), entry, memory, size, result, error);
}

int gethostbyname2_r(const char* name, int family, hostent* entry, char* memory, size_t size,
                     hostent** result, int* error) {
  if (is_name_closed("gethostbyname", name)) return refused(result, error);
  if (!acts()) return real::gethostbyname2_r(name, family, entry, memory, size, result, error);
  *result = nullptr;
  const HostName asked(name, family);
  *error = asked.error();
  if (*error != 0) return 0;
  return look_up_r(host_by_name2(asked.text(), family), entry, memory, size, result, error);
}

int gethostbyaddr_r(const void* address, socklen_t length, int family, hostent* entry, char* memory,
                    size_t size, hostent** result, int* error) {
  if (aiofiber::runtime::is_name_service_closed("gethostbyaddr")) return refused(result, error);
  if (!acts()) return real::gethostbyaddr_r(address, length, family, entry, memory, size, result, error);
  *result = nullptr;
  *error = HOST_NOT_FOUND;
  if (AIOFIBER_UNLIKELY(aiofiber::runtime::current_network != nullptr))
    return 0;  // it knows no names of addresses
  return look_up_r(host_by_address(address, length, family), entry, memory, size, result, error);
}

hostent* gethostbyname(const char* name) {
  if (is_name_closed("gethostbyname", name)) return not_found(NO_RECOVERY);
  if (!acts()) return real::gethostbyname(name);
  const HostName asked(name);
  if (asked.error() != 0) return not_found(asked.error());
  return look_up_host(host_by_name(asked.text()));
}

hostent* gethostbyname2(const char* name, int family) {
  if (is_name_closed("gethostbyname", name)) return not_found(NO_RECOVERY);
  if (!acts()) return real::gethostbyname2(name, family);
  const HostName asked(name, family);
  if (asked.error() != 0) return not_found(asked.error());
  return look_up_host(host_by_name2(asked.text(), family));
}

hostent* gethostbyaddr(const void* address, socklen_t length, int family) {
  if (aiofiber::runtime::is_name_service_closed("gethostbyaddr")) return not_found(NO_RECOVERY);
  if (!acts()) return real::gethostbyaddr(address, length, family);
  if (AIOFIBER_UNLIKELY(aiofiber::runtime::current_network != nullptr)) return not_found(HOST_NOT_FOUND);
  return look_up_host(host_by_address(address, length, family));
}

// ---- users and groups

int getpwnam_r(const char* name, passwd* entry, char* memory, size_t size, passwd** result) {
  if (!acts()) return real::getpwnam_r(name, entry, memory, size, result);
  return look_up_r(user_by_name(name), entry, memory, size, result);
}

int getpwuid_r(uid_t id, passwd* entry, char* memory, size_t size, passwd** result) {
  if (!acts()) return real::getpwuid_r(id, entry, memory, size, result);
  return look_up_r(user_by_id(id), entry, memory, size, result);
}

int getgrnam_r(const char* name, group* entry, char* memory, size_t size, group** result) {
  if (!acts()) return real::getgrnam_r(name, entry, memory, size, result);
  return look_up_r(group_by_name(name), entry, memory, size, result);
}

int getgrgid_r(gid_t id, group* entry, char* memory, size_t size, group** result) {
  if (!acts()) return real::getgrgid_r(id, entry, memory, size, result);
  return look_up_r(group_by_id(id), entry, memory, size, result);
}

passwd* getpwnam(const char* name) {
  if (!acts()) return real::getpwnam(name);
  return look_up_stored(&Locals::user, user_by_name(name));
}

passwd* getpwuid(uid_t id) {
  if (!acts()) return real::getpwuid(id);
  return look_up_stored(&Locals::user, user_by_id(id));
}

group* getgrnam(const char* name) {
  if (!acts()) return real::getgrnam(name);
  return look_up_stored(&Locals::user_group, group_by_name(name));
}

group* getgrgid(gid_t id) {
  if (!acts()) return real::getgrgid(id);
  return look_up_stored(&Locals::user_group, group_by_id(id));
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
