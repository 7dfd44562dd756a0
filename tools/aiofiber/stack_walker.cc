// SPDX-License-Identifier: Apache-2.0
//
// libdwfl's callbacks for one thread, whose memory is a copy.
#include "stack_walker.h"

#include <cstring>

#include "failure.h"

namespace aiofiber::tool {

namespace {
constexpr pid_t kAnyPid = 1;  // libdwfl needs one; it never uses it here
constexpr pid_t kAnyTid = 1;
}  // namespace

struct StackWalker::Callbacks {
  static StackWalker& self(void* argument) { return *static_cast<StackWalker*>(argument); }

  static pid_t next_thread(Dwfl*, void* argument, void** thread) {
    if (*thread != nullptr) return 0;
    *thread = argument;
    return kAnyTid;
  }
  static bool get_thread(Dwfl*, pid_t, void* argument, void** thread) {
    *thread = argument;
    return true;
  }
  static bool read_memory(Dwfl*, Dwarf_Addr address, Dwarf_Word* word, void* argument) {
    const TaskSnapshot& task = *self(argument).task_;
    if (address < task.stack_address || task.stack.size() < sizeof *word ||
        address - task.stack_address > task.stack.size() - sizeof *word) {
      return false;
    }
    std::memcpy(word, &task.stack[address - task.stack_address], sizeof *word);
    return true;
  }
  static bool set_registers(Dwfl_Thread* thread, void* argument) {
    const Registers& registers = self(argument).registers_;
    if (!dwfl_thread_state_registers(thread, 0, Registers::kCount, registers.values.data())) return false;
    dwfl_thread_state_register_pc(thread, registers.values[Registers::kPc]);
    return true;
  }
  static int add_frame(Dwfl_Frame* frame, void* argument) {
    auto& [walker, frames] = *static_cast<std::pair<StackWalker*, std::vector<StackFrame>>*>(argument);
    Dwarf_Addr pc = 0;
    bool activation = false;
    if (!dwfl_frame_pc(frame, &pc, &activation)) return DWARF_CB_ABORT;
    // libdwfl treats the innermost frame as an activation, but a suspended task has saved a return address.
    const bool exact = activation && (walker->exact_ || !walker->first_);
    walker->first_ = false;
    Dwarf_Word sp = 0;
    if (dwfl_frame_reg(frame, Registers::kSp, &sp) != 0) sp = 0;
    frames.push_back({{.pc = pc, .exact = exact}, sp});
    return frames.size() < kMostFrames ? DWARF_CB_OK : DWARF_CB_ABORT;
  }
};

StackWalker::StackWalker(Target& target) : dwfl_(target.modules()) {
  static const Dwfl_Thread_Callbacks callbacks{
      .next_thread = Callbacks::next_thread,
      .get_thread = Callbacks::get_thread,
      .memory_read = Callbacks::read_memory,
      .set_initial_registers = Callbacks::set_registers,
      .detach = nullptr,
      .thread_detach = nullptr,
  };
  if (!dwfl_attach_state(dwfl_, nullptr, kAnyPid, &callbacks, this)) {
    throw Failure(
        target.live() ? Exit::kInternal : Exit::kCore,
        target.name() + ": its stacks cannot be walked: " + dwfl_errmsg(-1) +
            (target.live() ? "" : ". Is its executable where the core says? Give it behind the core"));
  }
}

// After a call through a null or wild pointer, the program counter is at an address without unwind tables.
// The called code has not run yet.
void StackWalker::leave_what_is_no_code(std::vector<StackFrame>& frames) {
  Registers caller = registers_;
  const auto read = [this](std::uint64_t address, std::uint64_t& word) {
    Dwarf_Word value = 0;
    const bool is_there = Callbacks::read_memory(nullptr, address, &value, this);
    word = value;
    return is_there;
  };
  if (dwfl_addrmodule(dwfl_, registers_.values[Registers::kPc]) != nullptr) return;
  if (!runtime::arch::leave_entry(caller, read)) return;
  if (dwfl_addrmodule(dwfl_, caller.values[Registers::kPc]) == nullptr) return;
  frames.push_back(
      {{.pc = registers_.values[Registers::kPc], .exact = true}, registers_.values[Registers::kSp]});
  registers_ = caller;
  exact_ = false;
}

std::vector<Address> StackWalker::walk(const TaskSnapshot& task) {
  if (task.record.state == AIOFIBER_NEW) {
    if (task.record.entry == 0) return {};
    return {{.pc = task.record.entry, .exact = true, .entry = true}};
  }
  if (task.walked) return task.addresses;
  std::pair<StackWalker*, std::vector<StackFrame>> walk{this, {}};
  if (task.stack.empty() || (task.registers.values[Registers::kPc] == 0 && !task.exact_pc))
    return task.is_stackless() ? merge(task, {}) : std::vector<Address>();
  task_ = &task;
  registers_ = task.registers;
  exact_ = task.exact_pc;
  first_ = true;
  if (exact_) leave_what_is_no_code(walk.second);
  dwfl_getthread_frames(dwfl_, kAnyTid, Callbacks::add_frame, &walk);
  task_ = nullptr;
  return merge(task, walk.second);
}

// As list_calls() of the runtime does.
std::vector<Address> StackWalker::merge(const TaskSnapshot& task, const std::vector<StackFrame>& frames) {
  std::vector<Address> merged;
  auto next = task.coroutines.begin();
  const auto take_coroutine = [&] {
    if (!next->runs || frames.empty()) {
      merged.push_back({.pc = next->code,
                        .exact = true,
                        .coroutine = true,
                        .runs = next->runs,
                        .line = next->runs ? 0 : next->line,
                        .file = next->runs ? 0 : next->file});
    }
    return (next++)->on_loop;
  };
  const auto is_on_stack = [&](std::uint64_t address) {
    const aiofiber_record& record = task.record;
    return task.is_stackless() || (address >= record.stack_low && address < record.stack_high);
  };
  for (const StackFrame& frame : frames) {
    bool loop_follows = false;
    while (next != task.coroutines.end() && is_on_stack(next->stack) && next->stack < frame.sp)
      loop_follows = take_coroutine();
    if (loop_follows) return merged;
    merged.push_back(frame.address);
  }
  while (next != task.coroutines.end()) take_coroutine();
  return merged;
}

}  // namespace aiofiber::tool
