// SPDX-License-Identifier: Apache-2.0
//
// A cursor over the unwinder's tables: .eh_frame and the exception tables (LSDA), which use the same number
// formats.
//
// The formats are those of the LSB's description of .eh_frame: LEB128 numbers and encoded pointers
// (DW_EH_PE_...). The tables are part of the loaded program and trusted as such.
#pragma once

#include <cstdint>
#include <cstring>

namespace aiofiber::runtime {

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
  // null pointer, whatever its base, and for an unknown encoding.
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

  // The bits of such a pointer, before the base is added.
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

}  // namespace aiofiber::runtime
