// SPDX-License-Identifier: Apache-2.0
//
// System calls by number: one that waits, some that do not, and (in another library from the same source) one
// whose number cannot be known. Also a FILE from the caller, and types with the names of Asio's and gRPC's.
#include <linux/futex.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace boost::asio::detail {

struct epoll_reactor {
  virtual ~epoll_reactor();
};
epoll_reactor::~epoll_reactor() = default;

}  // namespace boost::asio::detail

namespace grpc_core {

class ExecCtx {
 public:
  virtual ~ExecCtx();
};
ExecCtx::~ExecCtx() = default;

}  // namespace grpc_core

extern "C" {

long numbers_wait(int* word) {
  return ::syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
}
long numbers_wake(int* word) {
  return ::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}
long numbers_thread() { return ::syscall(SYS_gettid) + 1; }
char* numbers_read_line(char* line, int length, FILE* file) { return ::fgets(line, length, file); }
#if defined(HOOKS_CHECK_ANY_NUMBER)
long numbers_any(long number) { return ::syscall(number) + 1; }
#endif

}  // extern "C"
