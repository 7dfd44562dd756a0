// SPDX-License-Identifier: Apache-2.0
//
// The tables. A function belongs here when it can wait in the kernel for something other than a disk and libc
// calls the kernel for it behind the hooks' back.
#include "blocking_calls.h"

#include <sys/syscall.h>

#include <set>

namespace aiofiber::tool {
namespace {

constexpr char kReads[] = "libc reads by itself here: set AIOFIBER_STDIO=1, use read() or recv(), or to_thread()";
constexpr char kReadsInput[] = "reads standard input, which never suspends: use read(), or to_thread()";
constexpr char kPrints[] =
    "blocks only where the other end does not read (a pipe, a terminal, a socket); AIOFIBER_STDIO=1 suspends";
constexpr char kPrintsOutput[] = "standard output never suspends; it blocks only where the other end does not read";
constexpr char kQueue[] = "a queue's descriptor can be polled: poll() first, then O_NONBLOCK; or to_thread()";
constexpr char kSystemV[] = "cannot be polled: call it by to_thread()";
constexpr char kSignal[] = "use the loop's add_signal_handler(), or read() from a signalfd";
constexpr char kOpen[] = "blocks on a FIFO or a device: O_NONBLOCK, or to_thread()";
constexpr char kDatabase[] =
    "may ask a name server: call it by to_thread(), or use the variant that is hooked";
constexpr char kAio[] = "wait for the eventfd or signal of the request instead, or to_thread()";

using enum Blocks;
constexpr BlockingCall kCalls[] = {
    {"fgets*", kAlways, kReads, true},
    {"__fgets*", kAlways, kReads, true},
    {"fgetc*", kAlways, kReads, true},
    {"getc", kAlways, kReads, true},
    {"getc_unlocked", kAlways, kReads, true},
    {"_IO_getc", kAlways, kReads, true},
    {"getchar*", kAlways, kReadsInput},
    {"gets", kAlways, kReadsInput},
    {"fgetw*", kAlways, kReads, true},
    {"getw*", kAlways, kReads, true},
    {"fread*", kAlways, kReads, true},
    {"__fread*", kAlways, kReads, true},
    {"getline", kAlways, kReads, true},
    {"getdelim", kAlways, kReads, true},
    {"__getdelim", kAlways, kReads, true},
    {"scanf", kAlways, kReadsInput},
    {"fscanf", kAlways, kReads, true},
    {"vfscanf", kAlways, kReads, true},
    {"__isoc99_scanf", kAlways, kReadsInput},
    {"__isoc99_fscanf", kAlways, kReads, true},
    {"__isoc99_vfscanf", kAlways, kReads, true},
    {"__isoc23_scanf", kAlways, kReadsInput},
    {"__isoc23_fscanf", kAlways, kReads, true},
    {"__uflow", kAlways, kReads, true},
    {"__underflow", kAlways, kReads, true},
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
    {"sigsuspend", kAlways, kSignal},
    {"pause", kAlways, kSignal},
    {"_ZNSt28__atomic_futex_unsigned_base*", kAlways,
     "std::future waits on a bare futex: await an asyncio future, or wait in to_thread()"},
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
    {"open", kSometimes, kOpen},
    {"open64", kSometimes, kOpen},
    {"openat*", kSometimes, kOpen},
    {"__open*", kSometimes, kOpen},
    {"fopen*", kSometimes, kOpen},
    {"freopen*", kSometimes, kOpen},
    {"ioctl", kSometimes, "depends on the request"},
    {"wordexp", kSometimes, "runs a shell for $(...): call it by to_thread()"},
    {"printf", kSometimes, kPrintsOutput},
    {"vprintf", kSometimes, kPrintsOutput},
    {"fprintf", kSometimes, kPrints, true},
    {"vfprintf", kSometimes, kPrints, true},
    {"__printf_chk", kSometimes, kPrintsOutput},
    {"__fprintf_chk", kSometimes, kPrints, true},
    {"__vfprintf_chk", kSometimes, kPrints, true},
    {"puts", kSometimes, kPrintsOutput},
    {"fputs*", kSometimes, kPrints, true},
    {"fputc*", kSometimes, kPrints, true},
    {"putc", kSometimes, kPrints, true},
    {"putchar", kSometimes, kPrintsOutput},
    {"fwrite*", kSometimes, kPrints, true},
    {"fflush*", kSometimes, kPrints, true},
    {"perror", kSometimes, kPrintsOutput},
    {"syscall", kUnknown, "system calls by number pass by the hooks: look at what it is used for"},
    {"dlopen", kUnknown, "what it opens is not seen here; check the running process by its id"},
};

const char* const kHooked[] = {
#define HOOKED(name) #name,
#include "hooks/hooked_names.inc"
#undef HOOKED
};

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

}  // namespace

bool is_hooked(const std::string& name) {
  static const std::set<std::string> names(std::begin(kHooked), std::end(kHooked));
  return names.count(name) != 0;
}

const BlockingCall* find_blocking_call(const std::string& name, Stdio stdio) {
  if (is_hooked(name)) return nullptr;
  for (const BlockingCall& call : kCalls) {
    const std::string pattern = call.name;
    const bool prefix = pattern.ends_with('*');
    if (prefix ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : name == pattern)
      return call.stdio && stdio == Stdio::kSuspends ? nullptr : &call;
  }
  return nullptr;
}

const char* find_blocking_system_call(int number) {
  for (const SystemCall& call : kSystemCalls) {
    if (call.number == number) return call.name;
  }
  return nullptr;
}

}  // namespace aiofiber::tool
