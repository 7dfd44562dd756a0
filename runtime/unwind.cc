// SPDX-License-Identifier: Apache-2.0
//
// Three parts, from the bottom up:
//   1. Reading .eh_frame: find the entry of a function, and interpret its call-frame instructions into a Row,
//   the
//      rule for one program counter. Only rules that compilers use are understood; for the rest the walk
//      stops.
//   2. The cache of Rows, and the walk itself.
//   3. Reading the exception tables (LSDA) for throw_would_terminate().
// Then the layout of Boost.Context's block, which is found out by a self-test instead of assumed, because it
// differs between releases (1.81 saves one word more than 1.74).
//
// Stack memory may be poisoned for the sanitizers, or be written to by its owner's thread, when a walk is
// wrong or racing; all reads of it go through read_word(), which is not instrumented.
#include <aiofiber/runtime/unwind.h>

#include <pthread.h>
#include <signal.h>
#include <unwind.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <optional>

#if defined(__x86_64__) && defined(__LP64__)

extern "C" {
// libgcc: finds the .eh_frame entry (FDE) that covers `pc`. Exported for exactly this use, but in no header.
struct dwarf_eh_bases {
  void* tbase;
  void* dbase;
  void* func;
};
const void* _Unwind_Find_FDE(void* pc, dwarf_eh_bases* bases);
// The C++ runtime's interpreter of exception tables: frames that name it have tables which we can read.
void __gxx_personality_v0();
// Boost.Context, declared here so that its headers stay in fiber.cc and stack.cc.
void* make_fcontext(void* stack_top, std::size_t size, void (*entry)());
}

namespace aiofiber::runtime {
namespace {

#define AIOFIBER_NOT_SANITIZED __attribute__((no_sanitize("address", "thread", "undefined")))

// ---- 1. Call-frame information ---------------------------------------------------------------------------

// DWARF's numbers of the registers that matter.
constexpr std::uint64_t kRegRbx = 3, kRegRbp = 6, kRegRsp = 7, kRegRip = 16;

// DWARF's call-frame instructions (DW_CFA_...), but for the three that have an operand in their low bits.
enum CfaInstruction : std::uint8_t {
  kNop = 0x00,
  kAdvance1 = 0x02,
  kAdvance2 = 0x03,
  kAdvance4 = 0x04,
  kOffsetExtended = 0x05,
  kRestoreExtended = 0x06,
  kUndefined = 0x07,
  kSameValue = 0x08,
  kRegister = 0x09,
  kRememberState = 0x0a,
  kRestoreState = 0x0b,
  kDefCfa = 0x0c,
  kDefCfaRegister = 0x0d,
  kDefCfaOffset = 0x0e,
  kDefCfaExpression = 0x0f,
  kExpression = 0x10,
  kOffsetExtendedSf = 0x11,
  kDefCfaSf = 0x12,
  kDefCfaOffsetSf = 0x13,
  kValOffset = 0x14,
  kValOffsetSf = 0x15,
  kValExpression = 0x16,
  kGnuArgsSize = 0x2e,
};

// How the canonical frame address (CFA: the caller's rsp after the call) is found, or why it is not.
enum class CfaRule : std::uint8_t {
  kNoTable,      // no call-frame information covers this address
  kOutermost,    // the information says that there is no caller
  kUnsupported,  // a rule which we do not interpret (signal frames, hand-written assembly)
  kRsp,          // rsp + offset
  kRbp,          // rbp + offset
  kRbx,          // rbx + offset
  kRbpDeref,     // the word at rbp + offset (functions that align their stack)
};

// The rule for one program counter, in the eight bytes that the cache stores. The CFA's offset is a multiple
// of eight; the CfaRule takes its low three bits.
struct Row {
  std::int32_t offset_and_rule = 0;
  // Where the caller's register is saved, relative to the CFA, or one of the constants below.
  std::int16_t rbp = kSame;
  std::int16_t rbx = kSame;

  static constexpr std::int16_t kSame = 0;   // the callee does not touch it
  static constexpr std::int16_t kAtRbp = 1;  // at the address that rbp holds
  static constexpr std::int16_t kLost = 2;   // somewhere that we do not follow

  static Row stop(CfaRule why) { return Row{static_cast<std::int32_t>(why)}; }
  CfaRule rule() const { return static_cast<CfaRule>(offset_and_rule & 7); }
  std::int64_t offset() const { return offset_and_rule & ~7; }
};
static_assert(sizeof(Row) == sizeof(std::uint64_t));

// A cursor over the bytes of a table. The tables are part of the loaded program and trusted as such.
class Bytes {
 public:
  explicit Bytes(const std::uint8_t* at) : at_(at) {}

  const std::uint8_t* at() const { return at_; }
  void skip(std::uint64_t count) { at_ += count; }

  template <typename T>
  T fixed() {
    T value;
    std::memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  std::uint64_t uleb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const std::uint8_t byte = *at_++;
      if (shift < 64) value |= std::uint64_t{byte & 0x7fu} << shift;
      if (!(byte & 0x80)) return value;
    }
  }

  std::int64_t sleb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;;) {
      const std::uint8_t byte = *at_++;
      if (shift < 64) value |= std::uint64_t{byte & 0x7fu} << shift;
      shift += 7;
      if (byte & 0x80) continue;
      if (shift < 64 && (byte & 0x40)) value |= ~std::uint64_t{0} << shift;
      return static_cast<std::int64_t>(value);
    }
  }

  // A pointer in one of the encodings of the Linux Standard Base ("DWARF exception header encoding"). 0 for a
  // null pointer, whatever it is relative to, and for an encoding that is not known.
  std::uintptr_t pointer(std::uint8_t encoding, std::uintptr_t data_base, std::uintptr_t function_base) {
    const auto place = reinterpret_cast<std::uintptr_t>(at_);
    std::uintptr_t value = raw(encoding);
    if (value == 0 || encoding == 0xff) return 0;
    switch (encoding & 0x70) {
      case 0x00:
        break;
      case 0x10:
        value += place;
        break;
      case 0x30:
        value += data_base;
        break;
      case 0x40:
        value += function_base;
        break;
      default:
        return 0;
    }
    if (encoding & 0x80) std::memcpy(&value, reinterpret_cast<const void*>(value), sizeof value);
    return value;
  }

  // The bits of such a pointer, before it is made absolute.
  std::uintptr_t raw(std::uint8_t encoding) {
    switch (encoding & 0x0f) {
      case 0x01:
        return uleb();
      case 0x02:
        return fixed<std::uint16_t>();
      case 0x03:
        return fixed<std::uint32_t>();
      case 0x09:
        return static_cast<std::uintptr_t>(sleb());
      case 0x0a:
        return static_cast<std::uintptr_t>(std::int64_t{fixed<std::int16_t>()});
      case 0x0b:
        return static_cast<std::uintptr_t>(std::int64_t{fixed<std::int32_t>()});
      default:
        return fixed<std::uint64_t>();
    }
  }

 private:
  const std::uint8_t* at_;
};

// What .eh_frame says about the function around an address.
struct FrameTable {
  const std::uint8_t* initial_code = nullptr;  // instructions of the common part (CIE) ...
  const std::uint8_t* initial_end = nullptr;
  const std::uint8_t* code = nullptr;  // ... and of the function's own part (FDE)
  const std::uint8_t* code_end = nullptr;
  std::uint64_t code_alignment = 1;
  std::int64_t data_alignment = 1;
  bool signal_frame = false;
  std::uintptr_t function = 0;
  std::uintptr_t personality = 0;
  std::uintptr_t exception_table = 0;  // LSDA; 0 when exceptions pass through without any work
};

// `instruction` lies inside the calling instruction, not behind it.
std::optional<FrameTable> find_frame_table(std::uintptr_t instruction) {
  dwarf_eh_bases bases{};
  const auto* fde =
      static_cast<const std::uint8_t*>(_Unwind_Find_FDE(reinterpret_cast<void*>(instruction), &bases));
  if (!fde) return std::nullopt;
  Bytes header(fde);
  const auto fde_length = header.fixed<std::uint32_t>();
  if (fde_length == 0xffffffffu) return std::nullopt;  // the 64-bit form, which no compiler emits
  const auto* cie_field = header.at();
  const auto* cie = cie_field - header.fixed<std::int32_t>();

  FrameTable table;
  table.function = reinterpret_cast<std::uintptr_t>(bases.func);
  const auto data_base = reinterpret_cast<std::uintptr_t>(bases.dbase);
  Bytes common(cie);
  const auto cie_length = common.fixed<std::uint32_t>();
  table.initial_end = common.at() + cie_length;
  common.skip(4);  // the CIE's identifier, 0
  const auto version = common.fixed<std::uint8_t>();
  const char* augmentation = reinterpret_cast<const char*>(common.at());
  common.skip(std::strlen(augmentation) + 1);
  table.code_alignment = common.uleb();
  table.data_alignment = common.sleb();
  if (version == 1) {
    common.skip(1);  // the return address' column
  } else {
    common.uleb();
  }
  std::uint8_t pointer_encoding = 0, exception_encoding = 0xff;
  const bool has_augmentation = *augmentation == 'z';
  if (has_augmentation) {
    const std::uint64_t length = common.uleb();
    table.initial_code = common.at() + length;
    for (const char* letter = augmentation + 1; *letter; ++letter) {
      if (*letter == 'R') {
        pointer_encoding = common.fixed<std::uint8_t>();
      } else if (*letter == 'L') {
        exception_encoding = common.fixed<std::uint8_t>();
      } else if (*letter == 'P') {
        const auto encoding = common.fixed<std::uint8_t>();
        table.personality = common.pointer(encoding, data_base, table.function);
      } else if (*letter == 'S') {
        table.signal_frame = true;
      } else {
        break;
      }
    }
  } else {
    table.initial_code = common.at();
  }

  header.raw(pointer_encoding);         // the function's start, known from `bases`
  header.raw(pointer_encoding & 0x0f);  // its length
  table.code = header.at();
  if (has_augmentation) {
    const std::uint64_t length = header.uleb();
    table.code = header.at() + length;
    if (length > 0 && exception_encoding != 0xff) {
      table.exception_table = header.pointer(exception_encoding, data_base, table.function);
    }
  }
  table.code_end = cie_field + fde_length;
  return table;
}

// Interprets call-frame instructions. The state is that of one program counter after the other; run() stops
// before the first instruction that is about an address behind the target.
class RowMachine {
 public:
  RowMachine(const FrameTable& table, std::uintptr_t target) : table_(table) {
    run(table.initial_code, table.initial_end, 0, 0);
    initial_ = state_;
    run(table.code, table.code_end, table.function, target);
  }

  Row row() const {
    if (state_.no_caller) return Row::stop(CfaRule::kOutermost);
    CfaRule rule = CfaRule::kUnsupported;
    if (state_.deref) {
      rule = CfaRule::kRbpDeref;
    } else if (state_.cfa_register == kRegRsp) {
      rule = CfaRule::kRsp;
    } else if (state_.cfa_register == kRegRbp) {
      rule = CfaRule::kRbp;
    } else if (state_.cfa_register == kRegRbx) {
      rule = CfaRule::kRbx;
    }
    constexpr std::int64_t kMax = std::numeric_limits<std::int32_t>::max();
    const bool fits = state_.offset % 8 == 0 && state_.offset < kMax && state_.offset > -kMax;
    if (failed_ || state_.return_lost || state_.unsupported || !fits || rule == CfaRule::kUnsupported) {
      return Row::stop(CfaRule::kUnsupported);
    }
    return Row{static_cast<std::int32_t>(state_.offset) | static_cast<std::int32_t>(rule), state_.rbp,
               state_.rbx};
  }

 private:
  struct State {
    std::uint64_t cfa_register = 0;
    std::int64_t offset = 0;
    bool deref = false;
    bool unsupported = false;  // until the CFA is defined anew
    bool no_caller = false;
    bool return_lost = false;  // the return address is not where a call puts it, until a rule brings it back
    std::int16_t rbp = Row::kSame;
    std::int16_t rbx = Row::kSame;
  };

  void define_cfa(std::uint64_t reg, std::int64_t offset) {
    state_.cfa_register = reg;
    state_.offset = offset;
    state_.deref = state_.unsupported = false;
  }

  // Register `reg` of the caller is saved at CFA + offset.
  void saved_at(std::uint64_t reg, std::int64_t offset) {
    if (reg == kRegRip) {
      state_.return_lost = offset != -8;
      return;
    }
    if (reg != kRegRbp && reg != kRegRbx) return;
    if (offset % 8 != 0 || offset == 0 || offset < std::numeric_limits<std::int16_t>::min() ||
        offset > 0x7ff0) {
      lost(reg);
    } else {
      set(reg, static_cast<std::int16_t>(offset));
    }
  }

  void set(std::uint64_t reg, std::int16_t place) {
    if (reg == kRegRbp) state_.rbp = place;
    if (reg == kRegRbx) state_.rbx = place;
  }

  void lost(std::uint64_t reg) {
    if (reg == kRegRip) state_.return_lost = true;
    set(reg, Row::kLost);
  }

  void restore_initial(std::uint64_t reg) {
    if (reg == kRegRbp) state_.rbp = initial_.rbp;
    if (reg == kRegRbx) state_.rbx = initial_.rbx;
    if (reg == kRegRip) {
      state_.return_lost = initial_.return_lost;
      state_.no_caller = initial_.no_caller;
    }
  }

  // DW_CFA_def_cfa_expression: only "the word at rbp + n", which g++ writes where it aligns the stack.
  void define_cfa_expression(const std::uint8_t* begin, const std::uint8_t* end) {
    constexpr std::uint8_t kBregRbp = 0x76, kDeref = 0x06;
    state_.unsupported = true;
    if (end - begin < 3 || *begin != kBregRbp) return;
    Bytes expression(begin + 1);
    const std::int64_t offset = expression.sleb();
    if (expression.at() + 1 != end || *expression.at() != kDeref) return;
    state_.offset = offset;
    state_.deref = true;
    state_.unsupported = false;
  }

  // DW_CFA_expression: only "rbp is saved where it points to", the companion of the above.
  void saved_at_expression(std::uint64_t reg, const std::uint8_t* begin, const std::uint8_t* end) {
    constexpr std::uint8_t kBregRbp = 0x76;
    const bool at_rbp = end - begin == 2 && begin[0] == kBregRbp && begin[1] == 0;
    if (reg == kRegRbp && at_rbp) {
      set(reg, Row::kAtRbp);
    } else {
      lost(reg);
    }
  }

  void run(const std::uint8_t* begin, const std::uint8_t* end, std::uintptr_t location,
           std::uintptr_t target);

  static constexpr std::size_t kMaxRemembered = 8;
  const FrameTable& table_;
  State state_;
  State initial_;
  std::array<State, kMaxRemembered> remembered_;
  std::size_t remembered_count_ = 0;
  bool failed_ = false;  // an instruction that we do not know: nothing after it can be trusted
};

void RowMachine::run(const std::uint8_t* begin, const std::uint8_t* end, std::uintptr_t location,
                     std::uintptr_t target) {
  Bytes in(begin);
  const auto advance = [&](std::uint64_t delta) { location += delta * table_.code_alignment; };
  while (in.at() < end && location <= target && !failed_) {
    const auto op = in.fixed<std::uint8_t>();
    const std::uint8_t low = op & 0x3f;
    switch (op & 0xc0) {
      case 0x40:
        advance(low);
        continue;
      case 0x80:
        saved_at(low, static_cast<std::int64_t>(in.uleb()) * table_.data_alignment);
        continue;
      case 0xc0:
        restore_initial(low);
        continue;
      default:
        break;
    }
    switch (op) {
      case kNop:
        break;
      case kAdvance1:
        advance(in.fixed<std::uint8_t>());
        break;
      case kAdvance2:
        advance(in.fixed<std::uint16_t>());
        break;
      case kAdvance4:
        advance(in.fixed<std::uint32_t>());
        break;
      case kOffsetExtended: {
        const std::uint64_t reg = in.uleb();
        saved_at(reg, static_cast<std::int64_t>(in.uleb()) * table_.data_alignment);
        break;
      }
      case kOffsetExtendedSf: {
        const std::uint64_t reg = in.uleb();
        saved_at(reg, in.sleb() * table_.data_alignment);
        break;
      }
      case kRestoreExtended:
        restore_initial(in.uleb());
        break;
      case kUndefined:
        if (in.uleb() == kRegRip) state_.no_caller = true;
        break;
      case kSameValue:
        set(in.uleb(), Row::kSame);
        break;
      case kRegister:
      case kValOffset:
      case kValOffsetSf:
        lost(in.uleb());
        in.uleb();
        break;
      case kRememberState:
        if (remembered_count_ == kMaxRemembered) {
          failed_ = true;
        } else {
          remembered_[remembered_count_++] = state_;
        }
        break;
      case kRestoreState:
        if (remembered_count_ == 0) {
          failed_ = true;
        } else {
          state_ = remembered_[--remembered_count_];
        }
        break;
      case kDefCfa: {
        const std::uint64_t reg = in.uleb();
        define_cfa(reg, static_cast<std::int64_t>(in.uleb()));
        break;
      }
      case kDefCfaSf: {
        const std::uint64_t reg = in.uleb();
        define_cfa(reg, in.sleb() * table_.data_alignment);
        break;
      }
      case kDefCfaRegister:
        define_cfa(in.uleb(), state_.offset);
        break;
      case kDefCfaOffset:
        state_.offset = static_cast<std::int64_t>(in.uleb());
        if (state_.deref) state_.unsupported = true;
        break;
      case kDefCfaOffsetSf:
        state_.offset = in.sleb() * table_.data_alignment;
        break;
      case kDefCfaExpression: {
        const std::uint64_t length = in.uleb();
        define_cfa_expression(in.at(), in.at() + length);
        in.skip(length);
        break;
      }
      case kExpression: {
        const std::uint64_t reg = in.uleb();
        const std::uint64_t length = in.uleb();
        saved_at_expression(reg, in.at(), in.at() + length);
        in.skip(length);
        break;
      }
      case kValExpression: {
        lost(in.uleb());
        const std::uint64_t length = in.uleb();
        in.skip(length);
        break;
      }
      case kGnuArgsSize:
        in.uleb();
        break;
      default:
        failed_ = true;
        break;
    }
  }
}

Row compile_row(std::uintptr_t return_address) {
  const auto table = find_frame_table(return_address - 1);
  if (!table) return Row::stop(CfaRule::kNoTable);
  if (table->signal_frame) return Row::stop(CfaRule::kUnsupported);
  return RowMachine(*table, return_address - 1).row();
}

// ---- 2. Cache and walk -----------------------------------------------------------------------------------

// The cache is shared by all threads without locks. A slot holds a row and `check` = key ^ mix(row). The two
// words are written and read separately; a reader that meets halves of two different writes computes a key
// that is not its own, but for an accident of 1 in 2^47, and takes it for a miss. No other memory depends on
// them, so relaxed order is enough.
struct CacheSlot {
  std::atomic<std::uint64_t> check{0};
  std::atomic<std::uint64_t> row{0};
};
constexpr unsigned kCacheBits = 12;
constinit std::array<CacheSlot, std::size_t{1} << kCacheBits> g_cache{};
constinit std::atomic<std::uint64_t> g_generation{0};  // bits 48..63 of the keys; changed to flush the cache

std::uint64_t mix(std::uint64_t value) { return value * 0x9e3779b97f4a7c15u; }

[[gnu::noinline]] Row fill_cache(CacheSlot& slot, std::uint64_t key, std::uintptr_t return_address) {
  const Row row = compile_row(return_address);
  const auto bits = std::bit_cast<std::uint64_t>(row);
  slot.check.store(key ^ mix(bits), std::memory_order_relaxed);
  slot.row.store(bits, std::memory_order_relaxed);
  return row;
}

[[gnu::always_inline]] inline Row find_row(std::uintptr_t return_address, std::uint64_t generation) {
  const std::uint64_t key = return_address ^ generation;
  CacheSlot& slot = g_cache[mix(key) >> (64 - kCacheBits)];
  const std::uint64_t bits = slot.row.load(std::memory_order_relaxed);
  if (slot.check.load(std::memory_order_relaxed) == (key ^ mix(bits))) [[likely]]
    return std::bit_cast<Row>(bits);
  return fill_cache(slot, key, return_address);
}

AIOFIBER_NOT_SANITIZED inline std::uintptr_t read_word(std::uintptr_t address) {
  return *reinterpret_cast<const volatile std::uintptr_t*>(address);
}

// How the step from a frame to its caller went.
enum class Step { kCaller, kOutermost, kNoTable, kUnsupported, kCorrupted };

// A walk over one stack. Reads are confined to the given bounds and, a red zone apart, to what lies above the
// first frame's rsp.
class Walk {
 public:
  // `displacement`: of the memory that is read, when that is a copy of the stack.
  explicit Walk(const Registers& registers, StackBounds bounds, std::uintptr_t displacement = 0)
      : registers_(registers), displacement_(displacement) {
    constexpr std::uintptr_t kRedZone = 128;
    const std::uintptr_t rsp = registers.rsp;
    if (rsp < bounds.low || rsp >= bounds.high || bounds.high - rsp < sizeof(std::uintptr_t)) return;
    low_ = rsp - bounds.low > kRedZone ? rsp - kRedZone : bounds.low;
    last_ = bounds.high - sizeof(std::uintptr_t);
  }

  const Registers& registers() const { return registers_; }

  [[gnu::always_inline]] Step step() {
    const Row row = find_row(registers_.rip, generation_);
    std::uintptr_t cfa = static_cast<std::uintptr_t>(row.offset());
    switch (row.rule()) {
      case CfaRule::kRsp:
        cfa += registers_.rsp;
        break;
      case CfaRule::kRbp:
        cfa += registers_.rbp;
        break;
      case CfaRule::kRbx:
        cfa += registers_.rbx;
        break;
      case CfaRule::kRbpDeref:
        if (!load(cfa + registers_.rbp, cfa)) return Step::kCorrupted;
        break;
      case CfaRule::kOutermost:
        return Step::kOutermost;
      case CfaRule::kNoTable:
        return Step::kNoTable;
      default:
        return Step::kUnsupported;
    }
    std::uintptr_t caller = 0;
    if (cfa <= registers_.rsp || !load(cfa - 8, caller)) return Step::kCorrupted;
    if (!restore(row.rbp, cfa, registers_.rbp) || !restore(row.rbx, cfa, registers_.rbx))
      return Step::kCorrupted;
    registers_.rip = caller;
    registers_.rsp = cfa;
    return caller != 0 ? Step::kCaller : Step::kOutermost;
  }

 private:
  bool load(std::uintptr_t address, std::uintptr_t& value) const {
    if (address < low_ || address > last_ || address % sizeof address != 0) return false;
    value = read_word(address + displacement_);
    return true;
  }

  bool restore(std::int16_t place, std::uintptr_t cfa, std::uintptr_t& value) const {
    switch (place) {
      case Row::kSame:
        return true;
      case Row::kAtRbp:
        return load(value, value);
      case Row::kLost:
        value = 0;
        return true;
      default:
        return load(cfa + static_cast<std::uintptr_t>(std::intptr_t{place}), value);
    }
  }

  Registers registers_;
  std::uint64_t generation_ = g_generation.load(std::memory_order_relaxed);
  const std::uintptr_t displacement_;
  std::uintptr_t low_ = 1;  // nothing is readable until the bounds are known to be good
  std::uintptr_t last_ = 0;
};

// ---- 3. Exception tables ---------------------------------------------------------------------------------

enum class Fate {
  kPasses,      // at most clean-ups run here
  kMayCatch,    // a handler for certain types
  kCatches,     // a handler for everything
  kTerminates,  // std::terminate()
};

// Machine code, for the one question below. As Bytes, and knows a few instructions.
class Code : private Bytes {
 public:
  explicit Code(std::uintptr_t at) : Bytes(reinterpret_cast<const std::uint8_t*>(at)) {}

  bool take(std::initializer_list<std::uint8_t> wanted) {
    if (!std::equal(wanted.begin(), wanted.end(), at())) return false;
    skip(wanted.size());
    return true;
  }
  void take_endbr() { take({0xf3, 0x0f, 0x1e, 0xfa}); }

  // `call` with a distance; its target, or 0.
  std::uintptr_t take_call() {
    if (!take({0xe8})) return 0;
    const auto distance = fixed<std::int32_t>();
    return reinterpret_cast<std::uintptr_t>(at()) + static_cast<std::uintptr_t>(std::intptr_t{distance});
  }
};

// clang has no "may not throw" in its tables: it catches everything and calls a helper that calls
// __cxa_begin_catch and std::terminate and does not return. A handler written by the user calls __cxa_begin_catch
// itself. Between the landing pad and either call there may be clean-ups (and, under AddressSanitizer, a call of
// its own), so the pad's code is searched for the call of a helper that no call of __cxa_begin_catch precedes.
// A heuristic: bytes are searched, not instructions, and a far helper is not seen.
constexpr std::size_t kLandingPadBytes = 192;

// What the helper at `target` calls first, if it is one; else 0.
std::uintptr_t first_call_of_terminate_helper(std::uintptr_t target) {
  // A byte that only looks like a call leads anywhere: look no further unless a function begins there.
  const auto table = find_frame_table(target);
  if (!table || table->function != target) return 0;
  Code helper(target);
  helper.take_endbr();
  const bool pushes_rax = helper.take({0x50});
  if (!pushes_rax && !helper.take({0x55, 0x48, 0x89, 0xe5})) return 0;  // push %rbp; mov %rsp,%rbp
  const std::uintptr_t first = helper.take_call();
  return first != 0 && helper.take_call() != 0 ? first : 0;
}

bool is_terminating_landing_pad(std::uintptr_t landing_pad) {
  std::uintptr_t end = landing_pad + kLandingPadBytes;
  constexpr std::uintptr_t kPageMask = 4095;
  if (!find_frame_table(end)) end = std::min(end, (landing_pad | kPageMask) - sizeof(std::int32_t));
  std::array<std::uintptr_t, 32> seen;
  std::size_t seen_count = 0;
  for (std::uintptr_t at = landing_pad; at < end && seen_count < seen.size(); ++at) {
    const std::uintptr_t target = Code(at).take_call();
    if (target == 0) continue;
    if (const std::uintptr_t begin_catch = first_call_of_terminate_helper(target)) {
      return std::find(seen.begin(), seen.begin() + seen_count, begin_catch) == seen.begin() + seen_count;
    }
    seen[seen_count++] = target;
  }
  return false;
}

// The chain of actions of one call site: which handlers an exception meets there.
Fate fate_of_actions(const std::uint8_t* action, const std::uint8_t* type_table, std::uint8_t type_encoding,
                     std::uintptr_t landing_pad) {
  Fate fate = Fate::kPasses;
  for (;;) {
    Bytes in(action);
    const std::int64_t filter = in.sleb();
    const auto* next = in.at();
    const std::int64_t displacement = in.sleb();
    if (filter < 0)
      return Fate::kTerminates;  // an exception specification: nothing is listed, so nothing may pass
    if (filter > 0 && type_table) {
      const unsigned format = type_encoding & 0x0fu;
      const std::int64_t width = format == 0x03 || format == 0x0b   ? 4
                                 : format == 0x02 || format == 0x0a ? 2
                                                                    : 8;
      if (Bytes(type_table - filter * width).raw(type_encoding) == 0) {
        return is_terminating_landing_pad(landing_pad) ? Fate::kTerminates : Fate::kCatches;
      }
      fate = Fate::kMayCatch;
    }
    if (displacement == 0) return fate;
    action = next + displacement;
  }
}

// What happens to an exception that arrives at `instruction` of the function that `table` describes.
Fate fate_in_frame(const FrameTable& table, std::uintptr_t instruction) {
  if (table.exception_table == 0) return Fate::kPasses;
  if (table.personality != reinterpret_cast<std::uintptr_t>(&__gxx_personality_v0)) return Fate::kPasses;
  Bytes in(reinterpret_cast<const std::uint8_t*>(table.exception_table));
  std::uintptr_t landing_base = table.function;
  if (const auto encoding = in.fixed<std::uint8_t>(); encoding != 0xff) {
    landing_base = in.pointer(encoding, 0, table.function);
  }
  const auto type_encoding = in.fixed<std::uint8_t>();
  const std::uint8_t* type_table = nullptr;
  if (type_encoding != 0xff) {
    const std::uint64_t distance = in.uleb();
    type_table = in.at() + distance;
  }
  const auto site_encoding = in.fixed<std::uint8_t>();
  const std::uint64_t sites_length = in.uleb();
  const std::uint8_t* actions = in.at() + sites_length;
  while (in.at() < actions) {
    const std::uintptr_t start = in.raw(site_encoding);
    const std::uintptr_t length = in.raw(site_encoding);
    const std::uintptr_t landing_pad = in.raw(site_encoding);
    const std::uint64_t action = in.uleb();
    if (instruction < table.function + start) break;  // the table is sorted
    if (instruction >= table.function + start + length) continue;
    if (landing_pad == 0 || action == 0) return Fate::kPasses;
    return fate_of_actions(actions + action - 1, type_table, type_encoding, landing_base + landing_pad);
  }
  return Fate::kTerminates;  // g++ leaves a call that may not throw out of the table
}

// ---- The block that a suspended context leaves on its stack --------------------------------------------

// Byte offsets in the block; rsp will be the address behind rip. `rip` is 0 when unknown.
struct alignas(std::uint64_t) FcontextLayout {
  std::uint16_t rip = 0, rbp = 0, rbx = 0;
  std::uint16_t tested = 0;  // a flag
};

constexpr std::uintptr_t kProbeRbx = 0x7a0f1be25bb0b001, kProbeRbp = 0x7a0f1be25bb0b002;

// Filled by the assembly below; its offsets are written there as numbers.
struct FcontextProbe {
  std::uintptr_t fcontext = 0;
  std::uintptr_t rsp = 0;
  std::uintptr_t rip = 0;
  std::array<std::uintptr_t, 16> block{};
};
static_assert(offsetof(FcontextProbe, block) == 24);

extern "C" void aiofiber_fcontext_probe(void* helper, FcontextProbe* probe) noexcept;
extern "C" void aiofiber_fcontext_probe_entry();

// Suspends once with known registers, and looks where they went.
FcontextLayout test_fcontext_layout() noexcept {
  alignas(16) std::array<unsigned char, 1024> stack;
  FcontextProbe probe;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // no handler fits on that stack
  void* helper = make_fcontext(stack.data() + stack.size(), stack.size(), aiofiber_fcontext_probe_entry);
  aiofiber_fcontext_probe(helper, &probe);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);

  FcontextLayout layout{.tested = 1};
  const auto offset_of = [&](std::uintptr_t value) {
    const auto at = std::find(probe.block.begin(), probe.block.end(), value) - probe.block.begin();
    return static_cast<std::uint16_t>(static_cast<std::size_t>(at) * sizeof value);
  };
  const std::uint16_t rip = offset_of(probe.rip), rbp = offset_of(kProbeRbp), rbx = offset_of(kProbeRbx);
  const bool understood = rip < sizeof probe.block && rbp < rip && rbx < rip && rip != 0 &&
                          probe.fcontext + rip + sizeof(std::uintptr_t) == probe.rsp;
  if (understood) {
    layout.rip = rip;
    layout.rbp = rbp;
    layout.rbx = rbx;
  }
  return layout;
}

constinit std::atomic<FcontextLayout> g_fcontext_layout{};
static_assert(std::atomic<FcontextLayout>::is_always_lock_free);

FcontextLayout fcontext_layout() noexcept {
  FcontextLayout layout = g_fcontext_layout.load(std::memory_order_relaxed);
  if (layout.tested == 0) [[unlikely]] {
    layout = test_fcontext_layout();  // by several threads at once, perhaps: they find the same
    g_fcontext_layout.store(layout, std::memory_order_relaxed);
  }
  return layout;
}

}  // namespace

std::size_t unwind_onwards(Registers& registers, StackBounds bounds, std::span<std::uintptr_t> out) noexcept {
  Walk walk(registers, bounds);
  std::size_t count = 0;
  while (count < out.size() && walk.registers().rip != 0) {
    out[count++] = walk.registers().rip;
    if (walk.step() != Step::kCaller) {
      registers = Registers{};
      return count;
    }
  }
  registers = walk.registers();
  return count;
}

std::size_t unwind(const Registers& registers, StackBounds bounds, std::span<std::uintptr_t> out) noexcept {
  Registers current = registers;
  return unwind_onwards(current, bounds, out);
}

std::size_t unwind_copy(const Registers& registers, StackBounds bounds, const void* copy,
                        std::span<std::uintptr_t> out) noexcept {
  Walk walk(registers, bounds, reinterpret_cast<std::uintptr_t>(copy) - bounds.low);
  std::size_t count = 0;
  while (count < out.size() && walk.registers().rip != 0) {
    out[count++] = walk.registers().rip;
    if (walk.step() != Step::kCaller) break;
  }
  return count;
}

AIOFIBER_NOT_SANITIZED Registers saved_registers(const void* fcontext) noexcept {
  const FcontextLayout layout = fcontext_layout();
  if (layout.rip == 0 || !fcontext) return Registers{};
  const auto block = reinterpret_cast<std::uintptr_t>(fcontext);
  return Registers{.rip = read_word(block + layout.rip),
                   .rsp = block + layout.rip + sizeof(std::uintptr_t),
                   .rbp = read_word(block + layout.rbp),
                   .rbx = read_word(block + layout.rbx)};
}

bool throw_would_terminate(const Registers& registers, StackBounds bounds) noexcept {
  if (registers.rip == 0) return false;
  Walk walk(registers, bounds);
  bool may_be_caught = false;
  for (;;) {
    const std::uintptr_t instruction = walk.registers().rip - 1;
    if (const auto table = find_frame_table(instruction)) {
      switch (fate_in_frame(*table, instruction)) {
        case Fate::kPasses:
          break;
        case Fate::kMayCatch:
          may_be_caught = true;
          break;
        case Fate::kCatches:
          return false;
        case Fate::kTerminates:
          return true;
      }
    }
    switch (walk.step()) {
      case Step::kCaller:
        break;
      case Step::kOutermost:
        return !may_be_caught;
      default:
        return true;
    }
  }
}

void flush_unwind_cache() noexcept {
  g_generation.fetch_add(std::uint64_t{1} << 48, std::memory_order_relaxed);
}

}  // namespace aiofiber::runtime

// current_registers(): the result's address is in rdi. Then the two sides of the self-test. The calls go
// through the global offset table: the dynamic linker, resolving a symbol lazily, would need more stack than
// there is.
asm(R"(
.text
.p2align 4
.globl aiofiber_current_registers
.type aiofiber_current_registers,@function
aiofiber_current_registers:
  .cfi_startproc
  endbr64
  movq %rdi, %rax
  movq (%rsp), %rcx
  movq %rcx, (%rax)
  leaq 8(%rsp), %rcx
  movq %rcx, 8(%rax)
  movq %rbp, 16(%rax)
  movq %rbx, 24(%rax)
  ret
  .cfi_endproc
.size aiofiber_current_registers,.-aiofiber_current_registers

.p2align 4
.hidden aiofiber_fcontext_probe
.globl aiofiber_fcontext_probe
.type aiofiber_fcontext_probe,@function
aiofiber_fcontext_probe:
  .cfi_startproc
  endbr64
  pushq %rbp
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbp, 0
  pushq %rbx
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbx, 0
  subq $8, %rsp
  .cfi_adjust_cfa_offset 8
  movabsq $0x7a0f1be25bb0b001, %rbx
  movabsq $0x7a0f1be25bb0b002, %rbp
  leaq 1f(%rip), %rax
  movq %rsp, 8(%rsi)
  movq %rax, 16(%rsi)
  call *jump_fcontext@GOTPCREL(%rip)
1:
  addq $8, %rsp
  .cfi_adjust_cfa_offset -8
  popq %rbx
  .cfi_adjust_cfa_offset -8
  .cfi_restore %rbx
  popq %rbp
  .cfi_adjust_cfa_offset -8
  .cfi_restore %rbp
  ret
  .cfi_endproc
.size aiofiber_fcontext_probe,.-aiofiber_fcontext_probe

.p2align 4
.hidden aiofiber_fcontext_probe_entry
.globl aiofiber_fcontext_probe_entry
.type aiofiber_fcontext_probe_entry,@function
aiofiber_fcontext_probe_entry:
  .cfi_startproc
  .cfi_undefined %rip
  endbr64
  movq %rdi, (%rsi)
  movq %rdi, %rax
  leaq 24(%rsi), %rdi
  movq %rax, %rsi
  movl $16, %ecx
  cld
  rep movsq
  movq %rax, %rdi
  xorl %esi, %esi
  call *jump_fcontext@GOTPCREL(%rip)
  hlt
  .cfi_endproc
.size aiofiber_fcontext_probe_entry,.-aiofiber_fcontext_probe_entry
)");

#else  // an architecture whose frames we do not know

namespace aiofiber::runtime {

std::size_t unwind_onwards(Registers& registers, StackBounds, std::span<std::uintptr_t>) noexcept {
  registers = Registers{};
  return 0;
}
std::size_t unwind(const Registers&, StackBounds, std::span<std::uintptr_t>) noexcept { return 0; }
std::size_t unwind_copy(const Registers&, StackBounds, const void*, std::span<std::uintptr_t>) noexcept { return 0; }
Registers saved_registers(const void*) noexcept { return Registers{}; }
Registers current_registers() noexcept { return Registers{}; }
bool throw_would_terminate(const Registers&, StackBounds) noexcept { return false; }
void flush_unwind_cache() noexcept {}

}  // namespace aiofiber::runtime

#endif

namespace aiofiber::runtime {

StackBounds thread_stack_bounds() noexcept {
  constinit thread_local StackBounds bounds{0, 0};
  if (bounds.high == 0) [[unlikely]] {
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return bounds;
    void* low = nullptr;
    std::size_t size = 0;
    if (pthread_attr_getstack(&attributes, &low, &size) == 0) {
      bounds.low = reinterpret_cast<std::uintptr_t>(low);
      bounds.high = bounds.low + size;
    }
    pthread_attr_destroy(&attributes);
  }
  return bounds;
}

}  // namespace aiofiber::runtime
