// SPDX-License-Identifier: Apache-2.0
//
// The resolver's own calls, res_query and so on, on the offload pool. A task can leave those without a state
// behind.
//
// Calls without an explicit state use the thread's `_res`. On the pool that is a pool thread's, initialised
// from resolv.conf; options that the program set in its own `_res` have no effect there. h_errno is carried
// over.
#include <netdb.h>
#include <resolv.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <vector>

#include "aiofiber/runtime/engine/network.h"
#include "aiofiber/runtime/engine/real_network.h"
#include "hooks/core/act.h"
#include "hooks/core/on_pool.h"
#include "hooks/core/real.h"
#include "hooks/names/look_up.h"

namespace aiofiber::hooks {

namespace {

// Whether nobody answers here. h_errno says so.
bool is_refused(bool in_task) noexcept {
  if (runtime::is_name_service_closed("res_query")) {
    h_errno = NO_RECOVERY;
    return true;
  }
  // A simulated machine has no DNS servers.
  if (!in_task || AIOFIBER_LIKELY(runtime::current_network == nullptr)) return false;
  h_errno = TRY_AGAIN;
  return true;
}

// Ask: ask(answer, size), with copies of the arguments. `make` returns one.
template <class Ask>
struct Query final : runtime::DetachedCall {
  template <class Make>
  Query(const Make& make, int its_size) : ask(make()), size(its_size) {
    if (size > 0) answer.resize(static_cast<std::size_t>(size));
  }

  void call() noexcept override {
    length = ask(answer.data(), size);
    error_number = errno;
    host_error = h_errno;
  }

  Ask ask;
  const int size;
  std::vector<unsigned char> answer;
  int length = -1;
  int error_number = 0;
  int host_error = NETDB_INTERNAL;
};

// In a task on the pool; else at once.
template <class Make>
int query(unsigned char* answer, int size, Make make) {
  const bool in_task = acts();
  if (is_refused(in_task)) return -1;
  if (!in_task) return make()(answer, size);
  const int errno_at_start = errno;
  auto* const call = look_up<Query<decltype(make())>>(make, size);
  if (call == nullptr) {
    h_errno = NETDB_INTERNAL;
    return -1;
  }
  const int length = call->length;
  if (length >= 0) {
    // libc tells the length of an answer that did not fit.
    std::copy_n(call->answer.begin(), std::min(static_cast<std::size_t>(length), call->answer.size()),
                answer);
    errno = errno_at_start;
  } else {
    h_errno = call->host_error;
    errno = call->error_number;
  }
  end_look_up();
  return length;
}

// With a state of the program, in which libc works until its end: the task waits for that.
template <class Run>
int query_with_state(Run run) {
  const bool in_task = acts();
  if (is_refused(in_task)) return -1;
  if (!in_task || must_stay_here(run)) return run();
  int error = NETDB_INTERNAL;
  const int length = on_pool(-1, [&] {
    const int result = run();
    error = h_errno;
    return result;
  });
  if (length < 0) h_errno = error;
  return length;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

int res_query(const char* name, int dns_class, int type, unsigned char* answer, int size) noexcept {
  return query(answer, size, [=] {
    return [=, own = OwnText(name)](unsigned char* to, int most) {
      return real::res_query(own.get(), dns_class, type, to, most);
    };
  });
}

int res_search(const char* name, int dns_class, int type, unsigned char* answer, int size) noexcept {
  return query(answer, size, [=] {
    return [=, own = OwnText(name)](unsigned char* to, int most) {
      return real::res_search(own.get(), dns_class, type, to, most);
    };
  });
}

int res_querydomain(const char* name, const char* domain, int dns_class, int type, unsigned char* answer,
                    int size) noexcept {
  return query(answer, size, [=] {
    return [=, own = OwnText(name), own_domain = OwnText(domain)](unsigned char* to, int most) {
      return real::res_querydomain(own.get(), own_domain.get(), dns_class, type, to, most);
    };
  });
}

int res_send(const unsigned char* question, int length, unsigned char* answer, int size) noexcept {
  return query(answer, size, [=] {
    return [own = std::vector<unsigned char>(question, question + std::max(length, 0))](unsigned char* to,
                                                                                        int most) {
      return real::res_send(own.data(), static_cast<int>(own.size()), to, most);
    };
  });
}

int res_nquery(res_state state, const char* name, int dns_class, int type, unsigned char* answer,
               int size) noexcept {
  return query_with_state([=] { return real::res_nquery(state, name, dns_class, type, answer, size); });
}

int res_nsearch(res_state state, const char* name, int dns_class, int type, unsigned char* answer,
                int size) noexcept {
  return query_with_state([=] { return real::res_nsearch(state, name, dns_class, type, answer, size); });
}

int res_nquerydomain(res_state state, const char* name, const char* domain, int dns_class, int type,
                     unsigned char* answer, int size) noexcept {
  return query_with_state(
      [=] { return real::res_nquerydomain(state, name, domain, dns_class, type, answer, size); });
}

int res_nsend(res_state state, const unsigned char* question, int length, unsigned char* answer,
              int size) noexcept {
  return query_with_state([=] { return real::res_nsend(state, question, length, answer, size); });
}

// The names that programs linked with an older glibc import.
int __res_query(const char* name, int dns_class, int type, unsigned char* answer, int size) {
  return res_query(name, dns_class, type, answer, size);
}
int __res_search(const char* name, int dns_class, int type, unsigned char* answer, int size) {
  return res_search(name, dns_class, type, answer, size);
}
int __res_nquery(res_state state, const char* name, int dns_class, int type, unsigned char* answer,
                 int size) {
  return res_nquery(state, name, dns_class, type, answer, size);
}
int __res_nsearch(res_state state, const char* name, int dns_class, int type, unsigned char* answer,
                  int size) {
  return res_nsearch(state, name, dns_class, type, answer, size);
}

}  // extern "C"
