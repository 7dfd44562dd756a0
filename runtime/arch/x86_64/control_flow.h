// SPDX-License-Identifier: Apache-2.0
//
// Where control goes after an x86-64 instruction: its length, and the target if it is a jump or a call.
//
// It knows the instructions that compilers write into clean-ups: general ones, and those of SSE with one
// opcode byte after 0F. Any other is unknown, also a return and an indirect jump: control leaves the code
// that is read. Source: Intel's manual, volume 2, appendix A (opcode maps).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace aiofiber::runtime::arch {

struct Control {
  enum class Kind : std::uint8_t {
    kUnknown,
    kNext,        // goes on with the next instruction; also after a call by a register
    kCall,        // of `target`
    kCallBySlot,  // of the function whose address is at `target`
    kJump,        // to `target`
    kBranch,      // to `target` or to the next instruction
    kStops        // ud2, hlt, int3
  };
  Kind kind = Kind::kUnknown;
  std::size_t length = 0;
  std::uintptr_t target = 0;
};
constexpr std::size_t kLongestInstruction = 15;

// A reader of one instruction.
class ControlReader {
 public:
  // `code`: at least kLongestInstruction bytes, a copy of those at `address`.
  ControlReader(const std::uint8_t* code, std::uintptr_t address) : code_(code), address_(address) {}

  Control read() {
    while (is_prefix(code_[size_])) operand16_ = code_[size_++] == 0x66 || operand16_;
    if ((code_[size_] & 0xf0) == 0x40) wide_ = (code_[size_++] & 8) != 0;
    const std::uint8_t opcode = code_[size_++];
    return opcode == 0x0f ? read_two_bytes(code_[size_++]) : read_one_byte(opcode);
  }

 private:
  using Kind = Control::Kind;

  static bool is_prefix(std::uint8_t byte) {
    return byte == 0x66 || byte == 0xf2 || byte == 0xf3 || byte == 0xf0 || byte == 0x2e || byte == 0x36 ||
           byte == 0x3e || byte == 0x26 || byte == 0x64 || byte == 0x65;
  }
  Control next(std::size_t immediate = 0) {
    size_ += immediate;
    return size_ <= kLongestInstruction ? Control{Kind::kNext, size_, 0} : Control{};
  }
  Control with_operand(std::size_t immediate = 0) {
    const unsigned mode = code_[size_] >> 6, base = code_[size_] & 7;
    ++size_;
    if (mode == 3) return next(immediate);
    // A byte with base and index may follow, and takes the base's place.
    const unsigned last_base = base == 4 ? code_[size_++] & 7u : base;
    const bool has_long_displacement = mode == 2 || (mode == 0 && last_base == 5);
    return next(immediate + (mode == 1 ? 1 : has_long_displacement ? 4 : 0));
  }
  std::size_t full() const { return operand16_ ? 2 : 4; }
  template <class Distance>
  Control to(Kind kind) {
    Distance distance;
    std::memcpy(&distance, code_ + size_, sizeof distance);
    size_ += sizeof distance;
    return {kind, size_, address_ + size_ + static_cast<std::uintptr_t>(std::intptr_t{distance})};
  }

  Control read_one_byte(std::uint8_t opcode) {
    if (opcode < 0x40) {  // add, or, ... cmp
      const unsigned form = opcode & 7;
      if (form < 4) return with_operand();
      if (form == 4) return next(1);
      return form == 5 ? next(full()) : Control{};
    }
    if (opcode >= 0x50 && opcode <= 0x5f) return next();  // push, pop
    if (opcode >= 0x70 && opcode <= 0x7f) return to<std::int8_t>(Kind::kBranch);
    if (opcode >= 0x84 && opcode <= 0x8f) return with_operand();  // test, xchg, mov, lea, pop
    if (opcode >= 0x90 && opcode <= 0x99) return next();          // nop, xchg, cdqe, cqo
    if (opcode >= 0xb0 && opcode <= 0xb7) return next(1);
    if (opcode >= 0xb8 && opcode <= 0xbf) return next(wide_ ? 8 : full());
    if (opcode >= 0xd0 && opcode <= 0xd3) return with_operand();  // shifts
    if (opcode >= 0xd8 && opcode <= 0xdf) return with_operand();  // x87
    const unsigned digit = (code_[size_] >> 3) & 7;
    switch (opcode) {
      case 0x63:  // movsxd
      case 0xfe:  // inc, dec
        return with_operand();
      case 0x68:  // push
      case 0xa9:  // test
        return next(full());
      case 0x6a:
      case 0xa8:
        return next(1);
      case 0x69:  // imul
      case 0x81:
      case 0xc7:
        return with_operand(full());
      case 0x6b:
      case 0x80:
      case 0x83:
      case 0xc0:
      case 0xc1:
      case 0xc6:
        return with_operand(1);
      case 0xa4:  // movs, stos
      case 0xa5:
      case 0xaa:
      case 0xab:
      case 0xc9:  // leave
        return next();
      case 0xcc:
      case 0xf4:
        return {Kind::kStops, size_, 0};
      case 0xe8:
        return to<std::int32_t>(Kind::kCall);
      case 0xe9:
        return to<std::int32_t>(Kind::kJump);
      case 0xeb:
        return to<std::int8_t>(Kind::kJump);
      case 0xf6:
        return with_operand(digit < 2 ? 1 : 0);
      case 0xf7:
        return with_operand(digit < 2 ? full() : 0);
      case 0xff:
        if (code_[size_] == 0x15) {
          ++size_;
          return to<std::int32_t>(Kind::kCallBySlot);
        }
        return digit < 3 || digit == 6 ? with_operand() : Control{};
      default:
        return {};
    }
  }

  Control read_two_bytes(std::uint8_t opcode) {
    if (opcode >= 0x80 && opcode <= 0x8f) return to<std::int32_t>(Kind::kBranch);
    if (opcode == 0x0b) return {Kind::kStops, size_, 0};
    if (opcode >= 0xc8 && opcode <= 0xcf) return next();  // bswap
    const bool is_known = (opcode >= 0x10 && opcode <= 0x1f) || (opcode >= 0x28 && opcode <= 0x2f) ||
                          (opcode >= 0x40 && opcode <= 0x76) || opcode == 0x7e || opcode == 0x7f ||
                          (opcode >= 0x90 && opcode <= 0x9f) || (opcode >= 0xa3 && opcode <= 0xa5) ||
                          (opcode >= 0xab && opcode <= 0xc6) || opcode >= 0xd0;
    if (!is_known) return {};
    const bool has_byte = (opcode >= 0x70 && opcode <= 0x73) || opcode == 0xa4 || opcode == 0xac ||
                          opcode == 0xba || opcode == 0xc2 || (opcode >= 0xc4 && opcode <= 0xc6);
    return with_operand(has_byte ? 1 : 0);
  }

  const std::uint8_t* const code_;
  const std::uintptr_t address_;
  std::size_t size_ = 0;
  bool operand16_ = false;
  bool wide_ = false;
};

}  // namespace aiofiber::runtime::arch
