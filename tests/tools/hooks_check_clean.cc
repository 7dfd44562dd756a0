// SPDX-License-Identifier: Apache-2.0
//
// A library whose blocking calls are all hooked.
#include <poll.h>
#include <sys/socket.h>

#include "hooks/core/abseil.h"

#if AIOFIBER_HAS_ABSEIL
// The abseil that the hooks know, without its headers. Weak: the library is not linked with it.
namespace absl {
inline namespace ABSL_OPTION_INLINE_NAMESPACE_NAME {
struct Mutex {
  [[gnu::weak]] void Lock();
};
}  // namespace ABSL_OPTION_INLINE_NAMESPACE_NAME
}  // namespace absl
extern "C" void clean_lock(absl::Mutex* mutex) { mutex->Lock(); }
#endif

extern "C" ssize_t clean_receive(int fd, char* byte) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, -1) == 1 ? ::recv(fd, byte, 1, 0) : -1;
}
