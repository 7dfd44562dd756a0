// SPDX-License-Identifier: Apache-2.0
// Labels: slow
//
// The registry can be walked at any instruction. The test stops a program that creates, switches and ends
// tasks at each instruction of a part of its code, and reads all of its tasks there, as the aiofiber command
// does.
#include <elfutils/libdwfl.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <set>

#include "snapshot.h"
#include "stack_walker.h"
#include "support/processes.h"

namespace aiofiber::tool_test {
namespace {

using tool::Address;
using tool::Snapshot;
using tool::TaskSnapshot;

// `inspect_target stretch`, traced, at the begin of the stretch.
class Stepped {
 public:
  Stepped() {
    pid_ = fork();
    if (pid_ == 0) {
      ptrace(PTRACE_TRACEME, 0, 0, 0);
      exec_now({INSPECT_TARGET, "stretch"});
    }
    EXPECT_EQ(wait_for_stop(), SIGTRAP);  // exec
    ptrace(PTRACE_CONT, pid_, 0, 0);
    EXPECT_EQ(wait_for_stop(), SIGSTOP);
    std::ifstream maps("/proc/" + std::to_string(pid_) + "/maps");
    for (std::string line; std::getline(maps, line);) {
      if (line.ends_with("[vdso]")) std::sscanf(line.c_str(), "%lx-%lx", &vdso_low_, &vdso_high_);
    }
  }
  ~Stepped() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Stepped(const Stepped&) = delete;
  Stepped& operator=(const Stepped&) = delete;

  pid_t pid() const { return pid_; }
  // False at the end of the stretch.
  bool step() {
    ptrace(PTRACE_SINGLESTEP, pid_, 0, 0);
    const int signal = wait_for_stop();
    EXPECT_TRUE(signal == SIGTRAP || signal == SIGSTOP) << signal;
    if (signal == SIGTRAP) leave_vdso();
    return signal == SIGTRAP;
  }

 private:
  // The kernel's clock_gettime begins again whenever the clock ticks meanwhile: step by step it would never
  // end. It does not touch the registry, so it runs as a whole, up to a breakpoint at its return.
  void leave_vdso() {
    user_regs_struct registers{};
    ptrace(PTRACE_GETREGS, pid_, 0, &registers);
    if (registers.rip < vdso_low_ || registers.rip >= vdso_high_) return;
    const auto back = static_cast<unsigned long>(ptrace(PTRACE_PEEKDATA, pid_, registers.rsp, 0));
    const auto code = static_cast<unsigned long>(ptrace(PTRACE_PEEKDATA, pid_, back, 0));
    ptrace(PTRACE_POKEDATA, pid_, back, (code & ~0xfful) | 0xcc);
    ptrace(PTRACE_CONT, pid_, 0, 0);
    EXPECT_EQ(wait_for_stop(), SIGTRAP);
    ptrace(PTRACE_POKEDATA, pid_, back, code);
    ptrace(PTRACE_GETREGS, pid_, 0, &registers);
    registers.rip = back;
    ptrace(PTRACE_SETREGS, pid_, 0, &registers);
  }
  int wait_for_stop() {
    int status = 0;
    if (waitpid(pid_, &status, 0) != pid_ || !WIFSTOPPED(status)) return -1;
    return WSTOPSIG(status);
  }

  pid_t pid_ = 0;
  unsigned long vdso_low_ = 0, vdso_high_ = 0;
};

// What is seen of one task, checked: its record makes sense, and a suspended one has a whole stack of the
// right calls.
class Looker {
 public:
  explicit Looker(pid_t pid)
      : target_(tool::open_process(pid)), registry_(tool::find_registry(*target_)), walker_(*target_) {}

  void look() {
    const Snapshot snapshot = tool::take_snapshot(*target_, registry_, {}, {});
    std::set<std::uint64_t> ids;
    for (const TaskSnapshot& task : snapshot.tasks) {
      EXPECT_TRUE(task.record.id > 0 && ids.insert(task.record.id).second) << task.record.id;
      EXPECT_LE(task.record.state, static_cast<std::uint32_t>(AIOFIBER_WAITING));
      if (task.on_cpu) {
        ++on_cpu;
      } else if (task.record.state == AIOFIBER_NEW) {
        ++fresh;
      } else {
        ++suspended;
        check_stack(task);
      }
      highest_id = std::max(highest_id, task.record.id);
    }
    ++looks;
  }

  std::size_t looks = 0, on_cpu = 0, fresh = 0, suspended = 0;
  std::size_t suspended_without_stack = 0, suspended_on_borrowed_stack = 0;
  std::uint64_t highest_id = 0;

 private:
  void check_stack(const TaskSnapshot& task) {
    std::size_t dives = 0, recursions = 0;
    std::string outermost;  // of the stack frames
    for (const Address& address : walker_.walk(task)) {
      const std::string& function = function_at(address);
      if (function.find("4dive") != std::string::npos) ++dives;
      if (address.coroutine && function.find("7recurse") != std::string::npos) ++recursions;
      if (!address.coroutine) outermost = function;
    }
    const bool of_coroutines = task.name() == "c4";
    EXPECT_EQ(recursions, of_coroutines ? 4u : 0u) << task.name();
    if (of_coroutines) {
      if (task.is_stackless()) ++suspended_without_stack;
      if (dives > 0) ++suspended_on_borrowed_stack;
      EXPECT_TRUE(dives == 0 || (dives == 2 && !task.is_stackless())) << dives;
      if (task.is_stackless()) return;
      if (outermost == "make_fcontext") return;  // the call on the borrowed stack has not begun
    }
    EXPECT_NE(outermost.find("fiber_entry"), std::string::npos) << task.name() << " ends in " << outermost;
    if (of_coroutines) return;
    const std::size_t expected = task.name() == "3" ? 3u : task.name() == "6" ? 6u : 0u;
    EXPECT_EQ(dives, expected) << task.name();
  }

  const std::string& function_at(const Address& address) {
    const auto [known, is_new] = names_.try_emplace(address);
    if (is_new) {
      Dwfl_Module* module = dwfl_addrmodule(target_->modules(), address.pc);
      const char* name =
          module == nullptr ? nullptr : dwfl_module_addrname(module, address.pc - (address.exact ? 0 : 1));
      known->second = name == nullptr ? "??" : name;
    }
    return known->second;
  }

  std::unique_ptr<tool::Target> target_;
  std::map<Address, std::string> names_;  // libdw looks through all symbols for each
  std::uint64_t registry_;
  tool::StackWalker walker_;
};

TEST(Registry, CanBeWalkedAtEveryInstructionOfABusyStretch) {
  Stepped program;
  Looker looker(program.pid());
  do {
    looker.look();
  } while (!HasFailure() && program.step());
  std::printf("%zu instructions; tasks seen: %zu suspended, %zu new, %zu on the CPU\n", looker.looks,
              looker.suspended, looker.fresh, looker.on_cpu);
  RecordProperty("instructions", static_cast<int>(looker.looks));
  EXPECT_GT(looker.looks, 3000u);
  EXPECT_GT(looker.suspended, looker.looks / 4);
  EXPECT_GT(looker.fresh, 0u);
  EXPECT_GT(looker.suspended_without_stack, 0u);
  EXPECT_GT(looker.suspended_on_borrowed_stack, 0u);
  EXPECT_GE(looker.highest_id, 7u) << "the main task, three before, and three in the records of those";
}

}  // namespace
}  // namespace aiofiber::tool_test
