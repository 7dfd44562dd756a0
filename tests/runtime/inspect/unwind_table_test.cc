// SPDX-License-Identifier: Apache-2.0
//
// The unwinder's reading of call-frame information against elfutils', for every row of every module of this
// process and of some large libraries. At each address where the rules change (in linkage tables at each
// address, if the rule requires it), both take one step over an artificial stack and must give the same
// result.
//
// The stack is a block of different words that all point into the block, so a wrong rule gives a wrong word.
// If the unwinder refuses a rule, it must be one that its documentation excludes.
// Labels: slow
#include <aiofiber/runtime/inspect/unwind.h>

#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <gelf.h>
#include <gtest/gtest.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <vector>

#if AIOFIBER_ARCH_X86_64 || AIOFIBER_ARCH_AARCH64

namespace aiofiber::runtime {
namespace {

// A register that a step restores, by DWARF's number.
struct Restored {
  int number;
  std::uintptr_t Registers::*member;
};
constexpr std::uintptr_t kMiddle = 1u << 17, kAbove = 3u << 16;  // of the made-up stack
#if AIOFIBER_ARCH_X86_64
constexpr Restored kRestored[] = {{3, &Registers::rbx}, {6, &Registers::rbp}};
constexpr int kRbp = 6, kSp = 7, kPc = 16;
constexpr std::uintptr_t return_address_kept(const Registers&) { return 0; }
#else
constexpr Restored kRestored[] = {{29, &Registers::fp}};
constexpr int kRbp = -1, kSp = 31, kPc = -1;
constexpr std::uintptr_t return_address_kept(const Registers& registers) { return registers.lr; }
#endif

struct Module {
  std::string path;
  std::uintptr_t bias;
};

class MadeUpStack {
 public:
  MadeUpStack() : words_(kWords) {
    for (std::size_t i = 0; i < kWords; ++i)
      words_[i] = low() + 8 * (i * 0x9e3779b1u % kWords);  // odd: each word once
  }
  std::uintptr_t low() const { return reinterpret_cast<std::uintptr_t>(words_.data()); }
  StackBounds bounds() const { return {low(), low() + 8 * kWords}; }
  // What it would be if this stack were suspended with these frames: the other registers are frame pointers
  // somewhere above `sp`.
  Registers registers(std::uintptr_t pc) const {
    return {pc + 1, low() + (1u << 16), low() + kMiddle, low() + kAbove};
  }
  std::optional<std::uintptr_t> word(std::uintptr_t address) const {
    if (address < low() || address - low() > 8 * (kWords - 1) || address % 8 != 0) return std::nullopt;
    return words_[(address - low()) / 8];
  }

 private:
  static constexpr std::size_t kWords = std::size_t{1} << 19;
  std::vector<std::uintptr_t> words_;
};

// What one step should lead to, by elfutils.
struct Expected {
  enum { kCaller, kOutermost, kDeclined } kind = kDeclined;
  std::uintptr_t pc = 0, sp = 0;
  // nullopt: by a rule that the unwinder gives up for this register
  std::array<std::optional<std::uintptr_t>, std::size(kRestored)> restored;
};

class Elfutils {
 public:
  explicit Elfutils(const MadeUpStack& stack) : stack_(stack) {}

  Expected step(Dwarf_Frame* frame, const Registers& registers) const {
    Expected expected;
    bool signal_frame = false;
    const int return_register = dwarf_frame_info(frame, nullptr, nullptr, &signal_frame);
    if (signal_frame) return expected;
    std::array<Dwarf_Op, 3> memory;
    Dwarf_Op* ops = nullptr;
    std::size_t count = 0;
    if (dwarf_frame_register(frame, return_register, memory.data(), &ops, &count) != 0) return expected;
    if (count == 0 && ops == memory.data()) {
      expected.kind = Expected::kOutermost;
      return expected;
    }
    const auto cfa = frame_address(frame, registers);
    if (!cfa) return expected;
    const auto pc = value(frame, return_register, registers, *cfa, return_address_kept(registers));
    if (!pc) return expected;
    // A walk goes up, but for a function that has not saved its return address.
    if (*cfa <= registers.sp && *pc != return_address_kept(registers)) return expected;
    expected.kind = Expected::kCaller;
    expected.sp = *cfa;
    expected.pc = *pc;
    for (std::size_t i = 0; i < std::size(kRestored); ++i) {
      const auto [number, member] = kRestored[i];
      expected.restored[i] = value(frame, number, registers, *cfa, registers.*member);
    }
    return expected;
  }

 private:
  static std::optional<std::uintptr_t> base(const Dwarf_Op& op, const Registers& registers) {
    const bool extended = op.atom == DW_OP_bregx;
    if (!extended && (op.atom < DW_OP_breg0 || op.atom > DW_OP_breg31)) return std::nullopt;
    const int number = extended ? static_cast<int>(op.number) : op.atom - DW_OP_breg0;
    const Dwarf_Word offset = extended ? op.number2 : op.number;
    if (number == kSp) return registers.sp + offset;
    for (const Restored& each : kRestored) {
      if (number == each.number) return registers.*each.member + offset;
    }
    if (number == kPc) return registers.pc - 1 + offset;
    return std::nullopt;
  }

  // DWARF's stack machine, as far as compilers and linkers make use of it here.
  std::optional<std::uintptr_t> frame_address(Dwarf_Frame* frame, const Registers& registers) const {
    Dwarf_Op* ops = nullptr;
    std::size_t count = 0;
    if (dwarf_frame_cfa(frame, &ops, &count) != 0) return std::nullopt;
    std::vector<std::uintptr_t> values;
    const auto pop = [&] {
      const std::uintptr_t top = values.empty() ? 0 : values.back();
      if (!values.empty()) values.pop_back();
      return top;
    };
    for (const Dwarf_Op& op : std::span(ops, count)) {
      std::optional<std::uintptr_t> value = base(op, registers);
      if (op.atom >= DW_OP_lit0 && op.atom <= DW_OP_lit31) value = op.atom - DW_OP_lit0;
      if (op.atom == DW_OP_deref) value = stack_.word(pop());
      if (op.atom == DW_OP_and) value = pop() & pop();
      if (op.atom == DW_OP_plus) value = pop() + pop();
      if (op.atom == DW_OP_ge || op.atom == DW_OP_shl) {
        const std::uintptr_t right = pop(), left = pop();
        value = op.atom == DW_OP_ge ? left >= right : left << right;
      }
      if (!value) return std::nullopt;
      values.push_back(*value);
    }
    return values.size() == 1 ? std::optional(values[0]) : std::nullopt;
  }

  std::optional<std::uintptr_t> value(Dwarf_Frame* frame, int number, const Registers& registers,
                                      std::uintptr_t cfa, std::uintptr_t same) const {
    std::array<Dwarf_Op, 3> memory;
    Dwarf_Op* ops = nullptr;
    std::size_t count = 0;
    if (dwarf_frame_register(frame, number, memory.data(), &ops, &count) != 0) return std::nullopt;
    if (count == 0) return same;  // the same, or undefined, which leaves it as well
    if (ops[0].atom == DW_OP_call_frame_cfa) {
      if (count == 1) return stack_.word(cfa);
      if (count == 2 && ops[1].atom == DW_OP_plus_uconst) return stack_.word(cfa + ops[1].number);
      return std::nullopt;
    }
    // g++ saves rbp where it points to, in functions that align their stack.
    if (count == 1 && number == kRbp && ops[0].atom == DW_OP_breg6 && ops[0].number == 0)
      return stack_.word(registers.*std::rbegin(kRestored)->member);
    return std::nullopt;
  }

  const MadeUpStack& stack_;
};

struct Count {
  std::size_t rows = 0, same = 0, declined = 0, different = 0, unexplained = 0;
};

class Comparison {
 public:
  explicit Comparison(const Module& module) : module_(module) {
    fd_ = open(module.path.c_str(), O_RDONLY | O_CLOEXEC);
    elf_version(EV_CURRENT);
    elf_ = elf_begin(fd_, ELF_C_READ_MMAP, nullptr);
    if (elf_ != nullptr) information_ = dwarf_getcfi_elf(elf_);
  }
  Comparison(const Comparison&) = delete;
  Comparison& operator=(const Comparison&) = delete;
  ~Comparison() {
    if (information_ != nullptr) dwarf_cfi_end(information_);
    elf_end(elf_);
    close(fd_);
  }

  Count run() {
    if (information_ == nullptr) return count_;
    std::size_t segments = 0;
    elf_getphdrnum(elf_, &segments);
    for (std::size_t i = 0; i < segments; ++i) {
      GElf_Phdr segment;
      gelf_getphdr(elf_, static_cast<int>(i), &segment);
      if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) != 0)
        compare(segment.p_vaddr, segment.p_vaddr + segment.p_memsz);
    }
    return count_;
  }

 private:
  void compare(std::uintptr_t low, std::uintptr_t high) {
    for (std::uintptr_t pc = low; pc < high;) {
      Dwarf_Frame* frame = nullptr;
      if (dwarf_cfi_addrframe(information_, pc, &frame) != 0) {
        ++pc;  // between functions
        continue;
      }
      Dwarf_Addr begin = 0, end = 0;
      bool signal_frame = false;
      dwarf_frame_info(frame, &begin, &end, &signal_frame);
      compare_row(frame, pc);
      pc = depends_on_address(frame) ? pc + 1 : std::max(end, pc + 1);
      std::free(frame);
    }
  }

  static bool are_as_expected(const Registers& after, const Expected& expected) {
    for (std::size_t i = 0; i < std::size(kRestored); ++i) {
      if (after.*kRestored[i].member != expected.restored[i].value_or(0)) return false;
    }
    return true;
  }

  static bool depends_on_address(Dwarf_Frame* frame) {
    Dwarf_Op* ops = nullptr;
    std::size_t count = 0;
    return dwarf_frame_cfa(frame, &ops, &count) == 0 &&
           std::any_of(ops, ops + count, [](const Dwarf_Op& op) { return op.atom == DW_OP_breg0 + kPc; });
  }

  void compare_row(Dwarf_Frame* frame, std::uintptr_t pc) {
    ++count_.rows;
    const Registers before = stack_.registers(module_.bias + pc);
    Registers after = before;
    std::array<std::uintptr_t, 1> out;
    unwind_onwards(after, stack_.bounds(), out);
    const Expected expected = elfutils_.step(frame, before);
    if (after.pc == 0) {
      if (expected.kind == Expected::kOutermost) {
        ++count_.same;
      } else if (expected.kind == Expected::kDeclined) {
        ++count_.declined;
      } else {
        complain(pc, "declined without a reason", count_.unexplained);
      }
      return;
    }
    const bool same = expected.kind == Expected::kCaller && after.pc == expected.pc &&
                      after.sp == expected.sp && are_as_expected(after, expected);
    if (same) {
      ++count_.same;
    } else {
      complain(pc, "leads elsewhere", count_.different);
    }
  }

  void complain(std::uintptr_t pc, const char* what, std::size_t& count) {
    if (++count <= 3) ADD_FAILURE() << module_.path << " +0x" << std::hex << pc << ": " << what;
  }

  const Module& module_;
  const MadeUpStack stack_;
  const Elfutils elfutils_{stack_};
  int fd_ = -1;
  Elf* elf_ = nullptr;
  Dwarf_CFI* information_ = nullptr;
  Count count_;
};

std::vector<Module> loaded_modules() {
  for (const char* name : {"libcrypto.so.3", "libssl.so.3", "libpq.so.5", "libcurl.so.4", "libsqlite3.so.0"})
    dlopen(name, RTLD_NOW);
  std::vector<Module> modules;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* all) {
        std::string path = info->dlpi_name;
        if (path.empty()) path = "/proc/self/exe";
        static_cast<std::vector<Module>*>(all)->push_back({path, info->dlpi_addr});
        return 0;
      },
      &modules);
  return modules;
}

TEST(UnwindTable, AgreesWithElfutilsInEveryRow) {
  const auto modules = loaded_modules();
  std::size_t rows = 0, declined = 0;
  for (const Module& module : modules) {
    const Count count = Comparison(module).run();
    std::printf("%8zu rows, %zu declined: %s\n", count.rows, count.declined, module.path.c_str());
    EXPECT_EQ(count.different, 0u) << module.path;
    EXPECT_EQ(count.unexplained, 0u) << module.path;
    rows += count.rows;
    declined += count.declined;
  }
  EXPECT_GT(rows, 50'000u) << "libc and libstdc++ alone have more: nothing was compared";
  EXPECT_LT(declined * 200, rows) << "more than one row in two hundred is declined";
}

}  // namespace
}  // namespace aiofiber::runtime

#endif
