// SPDX-License-Identifier: Apache-2.0
//
// The seam for system calls: thin inline wrappers, where a test can inject faults.
//
// Each call asks the fault plan first. It is null in production, so the cost is one predictable load. A test
// installs a FaultPlan for its thread and decides which call fails with which errno.
// Only the runtime's own calls are here; user code and the hooks call libc directly.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>

namespace aiofiber::runtime {

// Decides whether a system call fails: 0 lets it through, any other value becomes its errno.
class FaultPlan {
 public:
  virtual ~FaultPlan() = default;
  virtual int fail(const char* call) noexcept = 0;
};

inline constinit thread_local FaultPlan* current_fault_plan = nullptr;

namespace sys {

inline bool injected(const char* call) noexcept {
  if (__builtin_expect(current_fault_plan == nullptr, 1)) return false;
  const int error = current_fault_plan->fail(call);
  if (error != 0) errno = error;
  return error != 0;
}

// pidfd_open(2): a descriptor that becomes readable when the process ends; close-on-exec.
inline int pidfd_open(int pid) noexcept {
  if (injected("pidfd_open")) return -1;
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

// close(2). Has no error that the caller could handle.
inline void close(int fd) noexcept { ::close(fd); }

// mmap(2), private and anonymous, without swap reservation.
inline void* map_anonymous(std::size_t bytes) noexcept {
  if (injected("mmap")) return MAP_FAILED;
  return ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
}
inline int unmap(void* address, std::size_t bytes) noexcept { return ::munmap(address, bytes); }
inline int advise(void* address, std::size_t bytes, int advice) noexcept {
  return injected("madvise") ? -1 : ::madvise(address, bytes, advice);
}
// sysconf(3): of a page of memory. Needs no system call.
inline std::size_t page_bytes() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }
// mincore(2): one byte per page; its lowest bit says whether the page is in memory. False: not known.
inline bool resident(void* address, std::size_t bytes, unsigned char* pages) noexcept {
  return !injected("mincore") && ::mincore(address, bytes, pages) == 0;
}
inline int protect(void* address, std::size_t bytes, int protection) noexcept {
  return injected("mprotect") ? -1 : ::mprotect(address, bytes, protection);
}

// realloc(3), for memory that cannot come from operator new. Null: no memory, and the block is unchanged.
inline void* reallocate(void* block, std::size_t bytes) noexcept {
  return injected("realloc") ? nullptr : std::realloc(block, bytes);
}
// Whether a descriptor is open.
inline bool is_open(int fd) noexcept { return ::fcntl(fd, F_GETFD) >= 0; }
// epoll_ctl(2), without libc's wrapper.
inline int epoll_control(int epoll, int operation, int fd, epoll_event* event) noexcept {
  return static_cast<int>(::syscall(SYS_epoll_ctl, epoll, operation, fd, event));
}
// Whether the kernel would watch a descriptor now: 0, or the errno of epoll_ctl(2). ENOMEM also if no test
// epoll descriptor can be created.
inline int try_to_watch(int fd) noexcept {
  const int probe = ::epoll_create1(EPOLL_CLOEXEC);
  if (probe < 0) return ENOMEM;
  epoll_event event{};
  event.events = EPOLLIN;
  const int error = injected("epoll_ctl") || ::epoll_ctl(probe, EPOLL_CTL_ADD, fd, &event) != 0 ? errno : 0;
  ::close(probe);
  return error;
}
// eventfd(2), close-on-exec; -1 with errno.
inline int event_fd() noexcept { return injected("eventfd") ? -1 : ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

// The same as copy_own_memory(), where a sandbox forbids process_vm_readv(2) (systemd's group @debug).
inline ssize_t copy_own_memory_by_proc(void* to, const void* from, std::size_t bytes) noexcept {
  const int fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDONLY | O_CLOEXEC));
  if (fd < 0) return -1;
  const ssize_t copied = ::syscall(SYS_pread64, fd, to, bytes, from);
  close(fd);
  return copied;
}
// Copies this process's own memory, parts of which may not be mapped. Returns the bytes copied from the
// start; -1: none, or forbidden. Uses process_vm_readv(2), so other threads may write meanwhile.
// Async-signal-safe.
inline ssize_t copy_own_memory(void* to, const void* from, std::size_t bytes) noexcept {
  if (injected("process_vm_readv")) return -1;
  const iovec local{to, bytes};
  const iovec remote{const_cast<void*>(from), bytes};
  const ssize_t copied = ::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0);
  if (copied >= 0 || (errno != EPERM && errno != ENOSYS)) return copied;
  return copy_own_memory_by_proc(to, from, bytes);
}
// tgkill(2) in this process. Async-signal-safe.
inline int signal_thread(pid_t tid, int signo) noexcept {
  return injected("tgkill") ? -1 : static_cast<int>(::syscall(SYS_tgkill, ::getpid(), tid, signo));
}
// read(2) from a descriptor of the runtime itself. Never suspends; continues after a short read until `bytes`
// bytes or the end of the file. Returns the number of bytes; after an error the rest is missing.
inline std::size_t read_all(int fd, char* into, std::size_t bytes) noexcept {
  std::size_t done = 0;
  while (done < bytes) {
    const auto got = ::syscall(SYS_read, fd, into + done, bytes - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}
// Reads the beginning of a kernel file (/proc, /sys); suspends no task either. Returns the number of bytes.
inline std::size_t read_file(const char* path, char* into, std::size_t bytes) noexcept {
  const int fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
  if (fd < 0) return 0;
  const std::size_t done = read_all(fd, into, bytes);
  close(fd);
  return done;
}
// write(2) to a descriptor of the runtime itself. Never suspends; continues after a short write.
// Async-signal-safe.
inline bool write_all(int fd, const char* text, std::size_t bytes) noexcept {
  while (bytes > 0) {
    const auto written = ::syscall(SYS_write, fd, text, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text += written;
    bytes -= static_cast<std::size_t>(written);
  }
  return true;
}

}  // namespace sys
}  // namespace aiofiber::runtime
