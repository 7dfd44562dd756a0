// SPDX-License-Identifier: Apache-2.0
//
// The resolver's own calls, res_query and so on, on the offload pool.
//
// Calls without an explicit state use the thread's `_res`. On the pool that is a pool thread's, initialised
// from resolv.conf; options that the program set in its own `_res` have no effect there. h_errno is carried
// over.
#include <netdb.h>
#include <resolv.h>

#include "aiofiber/runtime/engine/network.h"
#include "aiofiber/runtime/engine/real_network.h"
#include "hooks/core/act.h"
#include "hooks/core/on_pool.h"
#include "hooks/core/real.h"

namespace aiofiber::hooks {

namespace {

// In a task on the pool; else at once.
template <class Query>
int query(Query run) {
  if (runtime::is_name_service_closed("res_query")) {
    h_errno = NO_RECOVERY;
    return -1;
  }
  if (!acts()) return run();
  if (AIOFIBER_UNLIKELY(runtime::current_network != nullptr)) {  // a simulated machine has no DNS servers
    h_errno = TRY_AGAIN;
    return -1;
  }
  if (must_stay_here(run)) return run();
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
  return query([=] { return real::res_query(name, dns_class, type, answer, size); });
}

int res_search(const char* name, int dns_class, int type, unsigned char* answer, int size) noexcept {
  return query([=] { return real::res_search(name, dns_class, type, answer, size); });
}

int res_querydomain(const char* name, const char* domain, int dns_class, int type, unsigned char* answer,
                    int size) noexcept {
  return query([=] { return real::res_querydomain(name, domain, dns_class, type, answer, size); });
}

int res_send(const unsigned char* question, int length, unsigned char* answer, int size) noexcept {
  return query([=] { return real::res_send(question, length, answer, size); });
}

int res_nquery(res_state state, const char* name, int dns_class, int type, unsigned char* answer,
               int size) noexcept {
  return query([=] { return real::res_nquery(state, name, dns_class, type, answer, size); });
}

int res_nsearch(res_state state, const char* name, int dns_class, int type, unsigned char* answer,
                int size) noexcept {
  return query([=] { return real::res_nsearch(state, name, dns_class, type, answer, size); });
}

int res_nquerydomain(res_state state, const char* name, const char* domain, int dns_class, int type,
                     unsigned char* answer, int size) noexcept {
  return query([=] { return real::res_nquerydomain(state, name, domain, dns_class, type, answer, size); });
}

int res_nsend(res_state state, const unsigned char* question, int length, unsigned char* answer,
              int size) noexcept {
  return query([=] { return real::res_nsend(state, question, length, answer, size); });
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
