// SPDX-License-Identifier: Apache-2.0
//
// The tables. A function is listed if it can wait in the kernel and libc makes the system call for it
// internally, past the hooks. A function that only ever waits for a busy disk blocks sometimes.
#include "blocking_calls.h"
#include "aiofiber/runtime/arch/arch.h"
#include "hooks/core/abseil.h"

#include <absl/container/flat_hash_map.h>
#include <sys/syscall.h>

#include <algorithm>
#include <iterator>
#include <string_view>

namespace aiofiber::tool {
namespace {

constexpr char kReads[] =
    "libc reads by itself here: set AIOFIBER_STDIO=1, use read() or recv(), or to_thread()";
constexpr char kReadsInput[] = "reads standard input, which never suspends: use read(), or to_thread()";
constexpr char kPrints[] =
    "blocks only where the other end does not read (a pipe, a terminal, a socket); AIOFIBER_STDIO=1 suspends";
constexpr char kPrintsOutput[] =
    "standard output never suspends; it blocks only where the other end does not read";
constexpr char kQueue[] = "a queue's descriptor can be polled: poll() first, then O_NONBLOCK; or to_thread()";
constexpr char kSystemV[] = "cannot be polled: call it by to_thread()";
constexpr char kSignal[] = "use the loop's add_signal_handler(), or read() from a signalfd";
constexpr char kOpen[] = "blocks on a FIFO or a device: O_NONBLOCK, or to_thread()";
constexpr char kName[] =
    "waits for a busy disk (open also for a FIFO or a device): AIOFIBER_FILES_ON_POOL=1 suspends";
constexpr char kWalk[] =
    "looks into folders inside libc, which waits for a busy disk: to_thread(), or opendir() and readdir()";
constexpr char kDatabase[] =
    "may ask a name server: call it by to_thread(), or use the variant that is hooked";
constexpr char kAio[] = "wait for the eventfd or signal of the request instead, or to_thread()";

constexpr char kAbseil[] =
    "the hooks know the locks of another abseil, the one that they were built with: do not hold one over a "
    "call that suspends; to_thread()";

using enum Blocks;
using enum WaitsFor;
constexpr BlockingCall kCalls[] = {
    {"fgets*", kAlways, kReads, kFile},
    {"__fgets*", kAlways, kReads, kFile},
    {"fgetc*", kAlways, kReads, kFile},
    {"getc", kAlways, kReads, kFile},
    {"getc_unlocked", kAlways, kReads, kFile},
    {"_IO_getc", kAlways, kReads, kFile},
    {"getchar*", kAlways, kReadsInput},
    {"gets", kAlways, kReadsInput},
    {"fgetw*", kAlways, kReads, kFile},
    {"getw*", kAlways, kReads, kFile},
    {"fread*", kAlways, kReads, kFile},
    {"__fread*", kAlways, kReads, kFile},
    {"getline", kAlways, kReads, kFile},
    {"getdelim", kAlways, kReads, kFile},
    {"__getdelim", kAlways, kReads, kFile},
    {"scanf", kAlways, kReadsInput},
    {"fscanf", kAlways, kReads, kFile},
    {"vfscanf", kAlways, kReads, kFile},
    {"__isoc99_scanf", kAlways, kReadsInput},
    {"__isoc99_fscanf", kAlways, kReads, kFile},
    {"__isoc99_vfscanf", kAlways, kReads, kFile},
    {"__isoc23_scanf", kAlways, kReadsInput},
    {"__isoc23_fscanf", kAlways, kReads, kFile},
    {"__uflow", kAlways, kReads, kFile},
    {"__underflow", kAlways, kReads, kFile},
    {"getpass", kAlways, "reads the terminal: use read(), or to_thread()"},
    {"mq_receive", kAlways, kQueue},
    {"mq_timedreceive", kAlways, kQueue},
    {"mq_send", kAlways, kQueue},
    {"mq_timedsend", kAlways, kQueue},
    {"msgrcv", kAlways, kSystemV},
    {"msgsnd", kAlways, kSystemV},
    {"semop", kAlways, kSystemV},
    {"semtimedop", kAlways, kSystemV},
    {"sigwait", kAlways, kSignal},
    {"sigwaitinfo", kAlways, kSignal},
    {"sigtimedwait", kAlways, kSignal},
    {"sigpause", kAlways, "use sigsuspend(), which suspends"},
    {"__xpg_sigpause", kAlways, "use sigsuspend(), which suspends"},
    {"__sigpause", kAlways, "use sigsuspend(), which suspends"},
    {"_ZNSt28__atomic_futex_unsigned_base*_M_futex_wait*", kAlways,
     "std::future waits on a bare futex: await an asyncio future, or wait in to_thread()", kLock},
    {"_ZN4absl*5Mutex4LockEv", kAlways, kAbseil, kLock},
    {"_ZN4absl*5Mutex10ReaderLockEv", kAlways, kAbseil, kLock},
    {"_ZN4absl*5Mutex9LockWhen*", kAlways, kAbseil, kLock},
    {"_ZN4absl*5Mutex5Await*", kAlways, kAbseil, kLock},
    {"_ZN4absl*7CondVar4Wait*", kAlways, kAbseil, kLock},
    {"_ZNK4absl*12Notification19WaitForNotification*", kAlways, kAbseil, kLock},
    {"_ZSt3cin", kAlways, kReadsInput},
    {"_ZSt4wcin", kAlways, kReadsInput},
    {"aio_suspend*", kAlways, kAio},
    {"lio_listio*", kAlways, kAio},
    {"gai_suspend", kAlways, "getaddrinfo() suspends: use it instead"},
    {"tcdrain", kAlways, "cannot be polled: call it by to_thread()"},
    {"gethostent*", kAlways, kDatabase},
    {"getnetby*", kSometimes, kDatabase},
    {"getservby*", kSometimes, kDatabase},
    {"getprotoby*", kSometimes, kDatabase},
    {"getpwent*", kSometimes, kDatabase},
    {"getgrent*", kSometimes, kDatabase},
    {"getspnam*", kSometimes, kDatabase},
    {"_IO_fopen", kSometimes, kOpen},
    {"scandir*", kSometimes, kWalk},
    {"ftw*", kSometimes, kWalk},
    {"nftw*", kSometimes, kWalk},
    {"fts_read", kSometimes, kWalk},
    {"fts64_read", kSometimes, kWalk},
    {"glob", kSometimes, kWalk},
    {"glob64", kSometimes, kWalk},
    {"ioctl", kSometimes, "depends on the request"},
    {"wordexp", kSometimes, "runs a shell for $(...): call it by to_thread()"},
    {"printf", kSometimes, kPrintsOutput},
    {"vprintf", kSometimes, kPrintsOutput},
    {"fprintf", kSometimes, kPrints, kFile},
    {"vfprintf", kSometimes, kPrints, kFile},
    {"__printf_chk", kSometimes, kPrintsOutput},
    {"__fprintf_chk", kSometimes, kPrints, kFile},
    {"__vfprintf_chk", kSometimes, kPrints, kFile},
    {"puts", kSometimes, kPrintsOutput},
    {"fputs*", kSometimes, kPrints, kFile},
    {"fputc*", kSometimes, kPrints, kFile},
    {"putc", kSometimes, kPrints, kFile},
    {"putchar", kSometimes, kPrintsOutput},
    {"fwrite*", kSometimes, kPrints, kFile},
    {"fflush*", kSometimes, kPrints, kFile},
    {"perror", kSometimes, kPrintsOutput},
    {"syscall", kUnknown, "system calls by number pass by the hooks: look at what it is used for"},
    {"dlopen", kUnknown, "what it opens is not seen here; check the running process by its id"},
};

constexpr BlockingCall kOnRequest = {"", kSometimes, kName};

enum class Hooked { no, always, on_request };

Hooked hooked(const std::string& name) {
  static const absl::flat_hash_map<std::string, Hooked> names = {
#define HOOKED_NAME(when, name) {name, Hooked::when},
#include "hooks/core/hooked_names.inc"
  };
  const auto found = names.find(name);
  return found != names.end() ? found->second : Hooked::no;
}

bool fits(std::string_view pattern, std::string_view name) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return name == pattern;
  if (!name.starts_with(pattern.substr(0, star))) return false;
  const std::string_view rest = pattern.substr(star + 1);
  name.remove_prefix(star);
  if (rest.empty()) return true;
  if (!rest.ends_with('*')) return name.ends_with(rest);
  return name.find(rest.substr(0, rest.size() - 1)) != std::string_view::npos;
}

// A function of the abseil whose locks the hooks know: `_ZN4absl7debian35Mutex4LockEv`.
bool is_of_hooked_abseil([[maybe_unused]] std::string_view name) {
#if AIOFIBER_HAS_ABSEIL
  constexpr std::string_view kNamespace = AIOFIBER_TEXT_OF(ABSL_OPTION_INLINE_NAMESPACE_NAME);
  for (const char* const prefix : {"_ZN4absl", "_ZNK4absl"}) {
    if (name.starts_with(prefix + std::to_string(kNamespace.size()) + std::string(kNamespace))) return true;
  }
#endif
  return false;
}

// What is_wait() is for, by plain_name(), sorted.
constexpr std::string_view kWaitingCalls[] = {"accept",
                                              "accept4",
                                              "clock_nanosleep",
                                              "cnd_timedwait",
                                              "cnd_wait",
                                              "connect",
                                              "copy_file_range",
                                              "epoll_pwait",
                                              "epoll_pwait2",
                                              "epoll_wait",
                                              "fdatasync",
                                              "fgetc",
                                              "fgets",
                                              "flock",
                                              "fread",
                                              "fscanf",
                                              "fsync",
                                              "getaddrinfo",
                                              "getc",
                                              "getdelim",
                                              "gethostbyaddr",
                                              "gethostbyaddr_r",
                                              "gethostbyname",
                                              "gethostbyname2",
                                              "gethostbyname2_r",
                                              "gethostbyname_r",
                                              "getline",
                                              "getnameinfo",
                                              "lockf",
                                              "nanosleep",
                                              "pause",
                                              "pclose",
                                              "poll",
                                              "ppoll",
                                              "pread",
                                              "preadv",
                                              "preadv2",
                                              "pselect",
                                              "pthread_barrier_wait",
                                              "pthread_clockjoin_np",
                                              "pthread_cond_clockwait",
                                              "pthread_cond_timedwait",
                                              "pthread_cond_wait",
                                              "pthread_join",
                                              "pthread_timedjoin_np",
                                              "pwrite",
                                              "pwritev",
                                              "pwritev2",
                                              "read",
                                              "readv",
                                              "recv",
                                              "recvfrom",
                                              "recvmmsg",
                                              "recvmsg",
                                              "res_nquery",
                                              "res_nsearch",
                                              "res_query",
                                              "res_search",
                                              "res_send",
                                              "select",
                                              "sem_clockwait",
                                              "sem_timedwait",
                                              "sem_wait",
                                              "send",
                                              "sendfile",
                                              "sendmmsg",
                                              "sendmsg",
                                              "sendto",
                                              "sigsuspend",
                                              "sleep",
                                              "splice",
                                              "system",
                                              "tee",
                                              "thrd_join",
                                              "thrd_sleep",
                                              "uflow",
                                              "usleep",
                                              "vmsplice",
                                              "wait",
                                              "wait3",
                                              "wait4",
                                              "waitid",
                                              "waitpid",
                                              "write",
                                              "writev"};
static_assert(std::is_sorted(std::begin(kWaitingCalls), std::end(kWaitingCalls)));

// Where each wait of aiofiber's own functions ends, in the runtime.
constexpr std::string_view kSuspensions[] = {"_ZN8aiofiber7runtime9Scheduler7suspendEv",
                                             "_ZN8aiofiber7runtime9Scheduler5yieldEv"};

// Suspends a task for good, which is no wait for its caller.
constexpr std::string_view kAbandons = "_ZN8aiofiber7runtime9Scheduler15abandon_currentEv";

// The forms of a name: __recv_chk, fgets_unlocked, pread64, __isoc99_fscanf.
std::string_view plain_name(std::string_view name) {
  while (name.starts_with('_')) name.remove_prefix(1);
  for (const std::string_view begin : {"IO_", "isoc99_", "isoc23_"}) {
    if (name.starts_with(begin)) name.remove_prefix(begin.size());
  }
  for (const std::string_view end : {"_chk", "_unlocked", "64"}) {
    if (name.ends_with(end)) name.remove_suffix(end.size());
  }
  return name;
}

struct SystemCall {
  int number;
  const char* name;
};
constexpr SystemCall kSystemCalls[] = {
#define CALL(name) {SYS_##name, #name},
    CALL(read) CALL(write) CALL(readv) CALL(writev) CALL(recvfrom) CALL(recvmsg) CALL(recvmmsg) CALL(sendto)
        CALL(sendmsg) CALL(sendmmsg) CALL(connect) CALL(accept4) CALL(ppoll) CALL(pselect6) CALL(epoll_pwait)
            CALL(nanosleep) CALL(clock_nanosleep) CALL(wait4) CALL(waitid) CALL(futex) CALL(flock)
                CALL(msgrcv) CALL(msgsnd) CALL(semtimedop) CALL(mq_timedreceive) CALL(mq_timedsend)
                    CALL(rt_sigtimedwait) CALL(rt_sigsuspend) CALL(io_getevents)
#if defined(SYS_poll)
                        CALL(poll) CALL(select) CALL(epoll_wait) CALL(accept) CALL(pause)
#endif
#if defined(SYS_io_uring_enter)
                            CALL(io_uring_enter)
#endif
#undef CALL
};

// FUTEX_WAIT, FUTEX_LOCK_PI, FUTEX_WAIT_BITSET, FUTEX_WAIT_REQUEUE_PI, FUTEX_LOCK_PI2; without the flags
// (private, clock).
bool is_futex_wait(int operation) {
  constexpr int kCommand = 127;
  constexpr int kWaits[] = {0, 6, 9, 11, 13};
  return std::find(std::begin(kWaits), std::end(kWaits), operation & kCommand) != std::end(kWaits);
}

}  // namespace

bool is_hooked(const std::string& name) { return hooked(name) != Hooked::no; }

const BlockingCall* find_blocking_call(const std::string& name, Stdio stdio) {
  const Hooked taken = hooked(name);
  if (taken == Hooked::on_request) return &kOnRequest;
  if (taken == Hooked::always || is_of_hooked_abseil(name)) return nullptr;
  for (const BlockingCall& call : kCalls) {
    if (fits(call.name, name)) return call.waits_for == kFile && stdio == Stdio::kSuspends ? nullptr : &call;
  }
  return nullptr;
}

bool is_suspension(const std::string& name) {
  return std::find(std::begin(kSuspensions), std::end(kSuspensions), name) != std::end(kSuspensions);
}

bool abandons_task(const std::string& name) { return name == kAbandons; }

bool is_wait(const std::string& name) {
  // std::condition_variable and std::thread of libstdc++, which makes libc's calls.
  if (name.starts_with("_ZNSt18condition_variable4wait") || name == "_ZNSt6thread4joinEv") return true;
  return is_suspension(name) ||
         std::binary_search(std::begin(kWaitingCalls), std::end(kWaitingCalls), plain_name(name));
}

const char* find_blocking_system_call(int number, int operation) {
  if (number == SYS_futex && operation >= 0 && !is_futex_wait(operation)) return nullptr;
  for (const SystemCall& call : kSystemCalls) {
    if (call.number == number) return call.name;
  }
  return nullptr;
}

}  // namespace aiofiber::tool
