// SPDX-License-Identifier: Apache-2.0
//
// The three signal handlers. All their state is in the arena; one page of this file's data leads there.
#include "shared_state/page_guard.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "aiofiber/runtime/engine/syscall.h"
#include "aiofiber/runtime/inspect/unwind.h"
#include "arch/stepping.h"
#include "shared_state/accesses.h"
#include "shared_state/page_access.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF 0
#define PR_SYS_DISPATCH_ON 1
#endif

namespace aiofiber::runtime::shared_state {

namespace {

// The kernel's form of a signal's action.
struct KernelAction {
  void (*handler)(int, siginfo_t*, void*) = nullptr;
  unsigned long flags = 0;
  void (*restorer)() = nullptr;
  std::uint64_t mask = 0;
};
constexpr int kSignals[] = {SIGSEGV, SIGTRAP, SIGSYS};
constexpr std::uint64_t bit(int signo) noexcept { return std::uint64_t{1} << (signo - 1); }
constexpr std::uint64_t kOurSignals = bit(SIGSEGV) | bit(SIGTRAP) | bit(SIGSYS);

std::intptr_t kernel_action(int signo, const KernelAction* action, KernelAction* old) noexcept {
  return arch::raw_call(SYS_rt_sigaction,
                        {{static_cast<std::uintptr_t>(signo), reinterpret_cast<std::uintptr_t>(action),
                          reinterpret_cast<std::uintptr_t>(old), sizeof(std::uint64_t)}});
}

}  // namespace

struct PageGuard::State {
  State(WatchedMemory& watched_memory, History& watched_history) noexcept
      : memory(watched_memory), history(watched_history) {}

  WatchedMemory& memory;
  History& history;
  PageAccess access;
  int* errno_at = nullptr;   // of the watched thread
  KernelAction previous[3];  // of kSignals, also if the program sets them later
  char* selector = nullptr;  // the kernel reads it at each system call: 1 refuses it
  bool installed = false;
  bool only_calls = false;  // no page is ever protected
  bool watching = false;    // some page is protected, or a step is being made; or calls are looked at
  int depth = 0;            // of handlers
  Task* task = nullptr;     // that runs
  std::uint64_t effort = 0;
  Outputs outputs;
  static constexpr std::size_t kMostStepped = 8;
  Page* stepped[kMostStepped] = {};  // open for one instruction
  std::size_t stepped_count = 0;
  bool stepping = false;
  // The instructions that have faulted in this step: how often each, by a hash of its address.
  static constexpr std::size_t kPlaces = 256;
  std::uint8_t faults_at[kPlaces] = {};
  bool trap_flag = false;  // set in the interrupted code, perhaps longer than `stepping`
};

namespace {

// Whole pages of their own: the watched memory around them may be protected when a handler reads this.
struct alignas(kPageBytes) OwnPage {
  PageGuard::State* state;
  char rest[kPageBytes - sizeof(PageGuard::State*)];
};
constinit OwnPage own_page{nullptr, {}};

// An instruction that faults that often in one step is in a loop. The page stays open for the rest of the
// step.
constexpr std::uint8_t kFaultsOfALoop = 8;

constinit thread_local bool is_watched_thread __attribute__((tls_model("initial-exec"))) = false;

void refuse_calls(PageGuard::State& state, bool refuse) noexcept {
  *static_cast<volatile char*>(state.selector) = refuse ? 1 : 0;
}

void open_all(PageGuard::State& state) noexcept {
  for (Page& page : state.memory.pages()) {
    page.wanted = Access::kAll;
    if (!page.ignored) page.dirty = true;
  }
  state.access.set_as_wanted(state.memory.pages());
  state.stepped_count = 0;
  state.stepping = false;
  state.watching = false;
  refuse_calls(state, false);
}

void close_stepped(PageGuard::State& state) noexcept {
  for (std::size_t i = 0; i < state.stepped_count; ++i)
    state.access.set(*state.stepped[i], state.stepped[i]->wanted);
  state.stepped_count = 0;
}

void set_stepping(PageGuard::State& state, void* context, bool on) noexcept {
  state.stepping = state.trap_flag = on;
  arch::set_stepping(context, on);
}

// During its lifetime system calls of the handler go through, and errno is kept.
class HandlerScope {
 public:
  // First the depth: from then on faults of the handler itself are nested ones. Even `errno` calls libc.
  explicit HandlerScope(PageGuard::State& state) noexcept : state_(state) {
    ++state.depth;
    refuse_calls(state, false);
    errno_ = *state.errno_at;
  }
  ~HandlerScope() {
    *state_.errno_at = errno_;
    // What nested faults have opened.
    if (state_.depth == 1 && !state_.stepping) close_stepped(state_);
    if (--state_.depth == 0) refuse_calls(state_, state_.watching);
  }
  HandlerScope(const HandlerScope&) = delete;
  HandlerScope& operator=(const HandlerScope&) = delete;

 private:
  PageGuard::State& state_;
  const AccessesOff own_accesses_;
  int errno_;
};

// Where the interrupted code is. `exact`: the program counter is at an instruction, not after a call.
Place interrupted_place(PageGuard::State& state, const void* context, bool exact) noexcept {
  std::uintptr_t addresses[Calls::kMost];
  Registers registers = arch::interrupted_registers(context);
  const std::uintptr_t pc = registers.pc, sp = registers.sp;
  if (exact) ++registers.pc;
  const std::size_t count = unwind(registers, current_stack_bounds(), addresses);
  return {state.history.calls({addresses, count}), pc, sp};
}

// Splits an access at the borders of pages.
template <class Visit>
void for_pages(WatchedMemory& memory, std::uintptr_t address, std::size_t bytes, Visit visit) noexcept {
  constexpr std::size_t kMost = std::size_t{1} << 26;  // a length of the program may be wrong
  bytes = std::min(bytes, kMost);
  while (bytes > 0) {
    const std::size_t begin = address % kPageBytes;
    const std::size_t count = std::min(bytes, kPageBytes - begin);
    if (Page* const page = memory.find(address)) visit(*page, begin, begin + count);
    address += count;
    bytes -= count;
  }
}

void pass_on(PageGuard::State& state, int signo, siginfo_t* info, void* context) noexcept {
  std::size_t index = 0;
  while (kSignals[index] != signo) ++index;
  const KernelAction& previous = state.previous[index];
  const auto plain = reinterpret_cast<std::uintptr_t>(previous.handler);
  if (plain > 1) return previous.handler(signo, info, context);
  // The default: the process dies of it when the instruction is repeated.
  const KernelAction none{nullptr, 0x04000000, previous.restorer, 0};
  kernel_action(signo, &none, nullptr);
  if (info->si_code <= 0) ::raise(signo);
}

// A page that a thread touches which is not watched, or a handler itself.
void open_for_others(PageGuard::State& state, Page& page) noexcept {
  page.dirty = true;
  if (is_watched_thread && state.stepped_count < PageGuard::State::kMostStepped)
    state.stepped[state.stepped_count++] = &page;  // closed again after the handler
  state.access.set(page, Access::kAll);
}

void on_fault(int signo, siginfo_t* info, void* context) {
  PageGuard::State& state = *own_page.state;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  Page* const page = info->si_code > 0 ? state.memory.find(address) : nullptr;
  const auto cause =
      page == nullptr ? PageAccess::Fault::kNotByUs : state.access.cause_of_fault(*page, address);
  if (cause == PageAccess::Fault::kRepeat) return;
  if (cause == PageAccess::Fault::kNotByUs) {
    if (is_watched_thread) open_all(state);
    return pass_on(state, signo, info, context);
  }
  if (!is_watched_thread || state.depth > 0) return open_for_others(state, *page);
  const HandlerScope scope(state);
  ++state.effort;
  page->touched = true;
  const arch::MemoryAccess access = arch::memory_access(context);
  page->dirty = page->dirty || access.writes;
  const Place place = interrupted_place(state, context, true);
  const Writes how = access.reads ? Writes::kUpdates : access.constant ? Writes::kConstant : Writes::kStores;
  const HeldLocks held = access.writes ? held_now() : HeldLocks();
  state.access.set(*page, Access::kAll);
  for_pages(state.memory, address, access.bytes, [&](Page& touched, std::size_t begin, std::size_t end) {
    if (touched.now != Access::kAll) {
      state.access.set(touched, Access::kAll);
      if (state.stepped_count < PageGuard::State::kMostStepped)
        state.stepped[state.stepped_count++] = &touched;
      touched.dirty = touched.dirty || access.writes;
    }
    if (access.reads) state.history.read(*state.task, touched, begin, end, place);
    if (access.writes) state.history.write(*state.task, touched, begin, end, how, place, held);
  });
  std::uint8_t& faults_here = state.faults_at[(place.pc ^ place.pc >> 8) % PageGuard::State::kPlaces];
  const bool loops = ++faults_here >= kFaultsOfALoop;
  if (loops && access.reads) {
    const std::size_t begin = address % kPageBytes;
    state.history.read_on(*state.task, *page, std::min(begin + access.bytes, kPageBytes), place);
  }
  if (access.repeated || loops || page->budget == 0 ||
      state.stepped_count == PageGuard::State::kMostStepped) {
    page->wanted = Access::kAll;  // for the rest of the step
    page->dirty = true;
    for (std::size_t i = 0; i < state.stepped_count; ++i) state.stepped[i]->wanted = Access::kAll;
    for (std::size_t i = 0; i < state.stepped_count; ++i) state.stepped[i]->dirty = true;
    if (!state.stepping) state.stepped_count = 0;
    return;
  }
  --page->budget;
  state.stepped[state.stepped_count++] = page;
  set_stepping(state, context, true);
}

void on_step(int signo, siginfo_t* info, void* context) {
  PageGuard::State& state = *own_page.state;
  if (!is_watched_thread || !state.trap_flag || info->si_code != TRAP_TRACE)
    return pass_on(state, signo, info, context);
  const HandlerScope scope(state);
  if (state.stepping) state.history.after_access();
  close_stepped(state);
  set_stepping(state, context, false);
}

// ---- system calls

// The kernel reads these bytes for the task, is going to write them, or has written them.
enum class KernelAccess : std::uint8_t { kReads, kWillWrite, kHasWritten };
void kernel_access(PageGuard::State& state, std::uintptr_t address, std::size_t bytes, KernelAccess access,
                   const Place& place) noexcept {
  if (access == KernelAccess::kWillWrite && !state.history.has_candidates()) return;
  for_pages(state.memory, address, bytes, [&](Page& page, std::size_t begin, std::size_t end) {
    if (access == KernelAccess::kWillWrite) {
      state.history.decide_on(page, begin, end);
    } else if (access == KernelAccess::kHasWritten) {
      page.dirty = true;
      state.history.write(*state.task, page, begin, end, Writes::kByKernel, place, held_now());
    } else {
      state.history.read(*state.task, page, begin, end, place);
    }
  });
}

// Calls visit(part) for the parts of a vector until it returns false. The program's pointers may be wrong:
// the kernel copies what they point to.
template <class Visit>
void for_vector(const void* vector, std::size_t count, Visit visit) noexcept {
  constexpr std::size_t kAtOnce = 8, kMost = 1024;
  iovec parts[kAtOnce];
  const auto* from = static_cast<const iovec*>(vector);
  for (count = std::min(count, kMost); count > 0;) {
    const std::size_t some = std::min(count, kAtOnce);
    const auto bytes = static_cast<ssize_t>(some * sizeof(iovec));
    if (sys::copy_own_memory(parts, from, some * sizeof(iovec)) != bytes) return;
    for (std::size_t i = 0; i < some; ++i) {
      if (!visit(parts[i])) return;
    }
    from += some;
    count -= some;
  }
}

void kernel_vector(PageGuard::State& state, const void* vector, std::size_t count, std::size_t bytes,
                   KernelAccess access, const Place& place) noexcept {
  for_vector(vector, count, [&](const iovec& part) {
    const std::size_t some = std::min(bytes, part.iov_len);
    kernel_access(state, reinterpret_cast<std::uintptr_t>(part.iov_base), some, access, place);
    bytes -= some;
    return bytes > 0;
  });
}

// What a call reads before it, or has written after it. Calls that are not here are compared only.
struct Transfer {
  enum Form { kNone, kBuffer, kVector, kMessage } form = kNone;
  bool writes = false;  // to the program's memory
};
Transfer transfer_of(std::intptr_t number) noexcept {
  switch (number) {
    case SYS_read:
    case SYS_pread64:
    case SYS_recvfrom:
      return {Transfer::kBuffer, true};
    case SYS_write:
    case SYS_pwrite64:
    case SYS_sendto:
      return {Transfer::kBuffer, false};
    case SYS_readv:
    case SYS_preadv:
    case SYS_preadv2:
      return {Transfer::kVector, true};
    case SYS_writev:
    case SYS_pwritev:
    case SYS_pwritev2:
      return {Transfer::kVector, false};
    case SYS_recvmsg:
      return {Transfer::kMessage, true};
    case SYS_sendmsg:
      return {Transfer::kMessage, false};
    default:
      return {};
  }
}

void note_transfer(PageGuard::State& state, const arch::RefusedCall& call, Transfer transfer,
                   std::size_t bytes, KernelAccess access, const Place& place) noexcept {
  const auto* const second = reinterpret_cast<const void*>(call.arguments[1]);
  if (second == nullptr) return;
  if (transfer.form == Transfer::kBuffer) {
    kernel_access(state, call.arguments[1], std::min(bytes, call.arguments[2]), access, place);
  } else if (transfer.form == Transfer::kVector) {
    kernel_vector(state, second, call.arguments[2], bytes, access, place);
  } else if (transfer.form == Transfer::kMessage) {
    msghdr message;
    if (sys::copy_own_memory(&message, second, sizeof message) == sizeof message)
      kernel_vector(state, message.msg_iov, message.msg_iovlen, bytes, access, place);
  }
}

// After the call.
void note_output(PageGuard::State& state, const arch::RefusedCall& call, Transfer transfer,
                 std::intptr_t result) noexcept {
  if (transfer.writes || result <= 0) return;
  const int fd = static_cast<int>(call.arguments[0]);
  auto bytes = static_cast<std::size_t>(result);
  if (transfer.form == Transfer::kBuffer) return state.outputs.add(fd, call.arguments[1], bytes);
  if (transfer.form != Transfer::kVector) return;
  for_vector(reinterpret_cast<const void*>(call.arguments[1]), call.arguments[2], [&](const iovec& part) {
    const std::size_t some = std::min(bytes, part.iov_len);
    state.outputs.add(fd, reinterpret_cast<std::uintptr_t>(part.iov_base), some);
    bytes -= some;
    return bytes > 0;
  });
}

// Calls with pointers in what their arguments point to, or that change what may be accessed.
bool may_touch_anything(std::intptr_t number) noexcept {
  switch (number) {
    case SYS_recvmmsg:
    case SYS_sendmmsg:
    case SYS_ioctl:
    case SYS_vmsplice:
    case SYS_process_vm_readv:
    case SYS_process_vm_writev:
    case SYS_io_uring_enter:
    case SYS_prctl:
    case SYS_keyctl:
    case SYS_bpf:
    case SYS_mremap:
    case SYS_ptrace:
    case SYS_rt_sigaction:
      return true;
    default:
      return false;
  }
}

bool is_watched(PageGuard::State& state, const void* memory, std::size_t bytes) noexcept {
  bool found = false;
  for_pages(state.memory, reinterpret_cast<std::uintptr_t>(memory), bytes,
            [&](Page&, std::size_t, std::size_t) { found = true; });
  return found;
}

bool vector_is_watched(PageGuard::State& state, const void* vector, std::size_t count) noexcept {
  if (is_watched(state, vector, sizeof(iovec))) return true;
  bool found = false;
  for_vector(vector, count, [&](const iovec& part) {
    found = is_watched(state, part.iov_base, part.iov_len);
    return !found;
  });
  return found;
}

// Whether the kernel may touch watched memory in this call.
bool touches_watched(PageGuard::State& state, std::intptr_t number, const arch::RefusedCall& call,
                     Transfer transfer) noexcept {
  if (may_touch_anything(number)) return true;
  for (const std::uintptr_t argument : call.arguments) {
    if (state.memory.find(argument) != nullptr) return true;
  }
  const auto* const second = reinterpret_cast<const void*>(call.arguments[1]);
  if (second == nullptr) return false;
  if (transfer.form == Transfer::kBuffer) return is_watched(state, second, call.arguments[2]);
  if (transfer.form == Transfer::kVector) return vector_is_watched(state, second, call.arguments[2]);
  if (transfer.form != Transfer::kMessage) return false;
  msghdr message;
  if (sys::copy_own_memory(&message, second, sizeof message) != sizeof message) return false;
  return vector_is_watched(state, message.msg_iov, message.msg_iovlen) ||
         state.memory.find(reinterpret_cast<std::uintptr_t>(message.msg_name)) != nullptr ||
         state.memory.find(reinterpret_cast<std::uintptr_t>(message.msg_control)) != nullptr;
}

// Calls that cannot be made in a handler: they return elsewhere, or change what the handler's return
// restores.
bool belongs_to_its_place(std::intptr_t number) noexcept {
  switch (number) {
#ifdef SYS_fork
    case SYS_fork:
    case SYS_vfork:
#endif
#ifdef SYS_pause
    case SYS_pause:
#endif
    case SYS_clone:
    case SYS_clone3:
    case SYS_execve:
    case SYS_execveat:
    case SYS_exit:
    case SYS_exit_group:
    case SYS_rt_sigprocmask:
    case SYS_sigaltstack:
    case SYS_rt_sigsuspend:
    case SYS_rt_sigreturn:
    case SYS_restart_syscall:
    case SYS_rt_sigtimedwait:
      return true;
    default:
      return false;
  }
}

// The program sets the action of one of our signals, or blocks them in a handler of its own.
bool set_action(PageGuard::State& state, arch::RefusedCall& call, std::intptr_t& result) noexcept {
  const auto* const wanted = reinterpret_cast<const KernelAction*>(call.arguments[1]);
  auto* const old = reinterpret_cast<KernelAction*>(call.arguments[2]);
  for (std::size_t i = 0; i < std::size(kSignals); ++i) {
    if (static_cast<int>(call.arguments[0]) != kSignals[i]) continue;
    const KernelAction before = state.previous[i];
    if (wanted != nullptr) state.previous[i] = *wanted;
    if (old != nullptr) *old = before;
    result = 0;
    return true;
  }
  if (wanted == nullptr) return false;
  KernelAction ours = *wanted;
  ours.mask &= ~kOurSignals;
  result = kernel_action(static_cast<int>(call.arguments[0]), &ours, old);
  return true;
}

void on_call(int signo, siginfo_t* info, void* context) {
  PageGuard::State& state = *own_page.state;
  constexpr int kUserDispatch = 2;
  if (!is_watched_thread || info->si_code != kUserDispatch) return pass_on(state, signo, info, context);
  const std::intptr_t number = info->si_syscall;
  const HandlerScope scope(state);
  ++state.effort;
  if (state.stepping) {
    close_stepped(state);
    set_stepping(state, context, false);
  }
  if (belongs_to_its_place(number)) {
    open_all(state);  // until the next switch
    return arch::repeat_call(context, number);
  }
  arch::RefusedCall call = arch::refused_call(context);
  const Transfer transfer = transfer_of(number);
  if (!touches_watched(state, number, call, transfer)) {
    const std::intptr_t result = arch::raw_call(number, call);
    note_output(state, call, transfer, result);
    return arch::answer_call(context, result);
  }
  // Open while the call is made, then as before.
  for (Page& page : state.memory.pages()) {
    if (state.only_calls) break;
    if (page.now == Access::kAll) continue;
    page.dirty = true;
    state.access.set(page, Access::kAll);
  }
  const Place place = interrupted_place(state, context, false);
  note_transfer(state, call, transfer, ~std::size_t{0},
                transfer.writes ? KernelAccess::kWillWrite : KernelAccess::kReads, place);
  std::intptr_t result = 0;
  if (number != SYS_rt_sigaction || !set_action(state, call, result)) result = arch::raw_call(number, call);
  note_output(state, call, transfer, result);
  if (transfer.writes && result > 0)
    note_transfer(state, call, transfer, static_cast<std::size_t>(result), KernelAccess::kHasWritten, place);
  if (!state.only_calls) state.access.set_as_wanted(state.memory.pages());
  arch::answer_call(context, result);
}

}  // namespace

PageGuard::PageGuard(Arena& arena, WatchedMemory& memory, History& history) noexcept
    : state_(*new (arena.allocate(sizeof(State))) State(memory, history)) {
  state_.selector = static_cast<char*>(arena.allocate(64));
  *state_.selector = 0;
}

PageGuard::~PageGuard() {
  if (!state_.installed) return;
  open();
  arch::raw_call(SYS_prctl, {{PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF}});
  for (std::size_t i = 0; i < std::size(kSignals); ++i)
    kernel_action(kSignals[i], &state_.previous[i], nullptr);
  is_watched_thread = false;
}

const char* PageGuard::install() noexcept {
  if constexpr (!arch::kCanStep) return "this processor is not known";
  for (std::size_t i = 0; i < std::size(kSignals); ++i)
    kernel_action(kSignals[i], nullptr, &state_.previous[i]);
  // libc's return from a signal handler; the overflow handler has it.
  const auto restorer = reinterpret_cast<std::uintptr_t>(state_.previous[0].restorer);
  if (restorer == 0) return "there is no handler of SIGSEGV";
  own_page.state = &state_;
  state_.errno_at = &errno;
  constexpr std::uintptr_t kBytesOfRestorer = 16;
  if (arch::raw_call(SYS_prctl, {{PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, restorer,
                                  kBytesOfRestorer, reinterpret_cast<std::uintptr_t>(state_.selector)}}) != 0)
    return "the kernel has no syscall user dispatch (Linux 5.11)";
  constexpr unsigned long kRestorer = 0x04000000;
  void (*const handlers[])(int, siginfo_t*, void*) = {on_fault, on_step, on_call};
  for (std::size_t i = 0; i < std::size(kSignals); ++i) {
    const KernelAction ours{handlers[i], SA_SIGINFO | SA_ONSTACK | SA_NODEFER | kRestorer,
                            state_.previous[0].restorer, 0};
    kernel_action(kSignals[i], &ours, nullptr);
  }
  // Handlers that the program has installed may fault too.
  for (int signo = 1; signo < NSIG; ++signo) {
    KernelAction action;
    if (kernel_action(signo, nullptr, &action) != 0 || (action.mask & kOurSignals) == 0) continue;
    if (reinterpret_cast<std::uintptr_t>(action.handler) <= 1) continue;
    action.mask &= ~kOurSignals;
    kernel_action(signo, &action, nullptr);
  }
  state_.installed = is_watched_thread = true;
  return nullptr;
}

void PageGuard::pause() noexcept {
  state_.depth = 1;  // also if a handler of the program has left one of ours by siglongjmp
  refuse_calls(state_, false);
  state_.stepped_count = 0;
  state_.stepping = false;
  state_.history.settle();
  if (state_.only_calls) return;
  for (Page& page : state_.memory.pages()) {
    if (page.dirty && !page.ignored) state_.access.set(page, Access::kAll);  // it will be compared
  }
}

void PageGuard::watch(Task& task, bool only_calls) noexcept {
  if (!state_.installed) return;
  state_.task = &task;
  state_.only_calls = only_calls;
  state_.outputs.clear();
  std::memset(state_.faults_at, 0, sizeof state_.faults_at);
  bool any = only_calls;
  for (const Page& page : state_.memory.pages()) any = any || page.wanted != Access::kAll;
  std::uint64_t blocked = 0;
  arch::raw_call(SYS_rt_sigprocmask,
                 {{SIG_BLOCK, 0, reinterpret_cast<std::uintptr_t>(&blocked), sizeof blocked}});
  if (!any || (blocked & kOurSignals) != 0) return open();  // a blocked fault would end the process
  // From here on the runtime's own variables may fault too: as in a handler.
  state_.watching = true;
  if (!only_calls) state_.access.set_as_wanted(state_.memory.pages());
  close_stepped(state_);
  state_.depth = 0;
  refuse_calls(state_, true);
}

void PageGuard::open() noexcept {
  state_.depth = 1;
  open_all(state_);
  state_.depth = 0;
}

void PageGuard::leave_child() noexcept {
  open_all(state_);
  is_watched_thread = false;
}

std::span<const Output> PageGuard::outputs() const noexcept { return state_.outputs.list(); }

std::uint64_t PageGuard::effort() const noexcept { return state_.effort; }

}  // namespace aiofiber::runtime::shared_state
