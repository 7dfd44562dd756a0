// SPDX-License-Identifier: Apache-2.0
//
// Parses the two parts of an entry: what a function shares with others (CIE) and its own part (FDE).
#include "inspect/call_frame.h"

#include <cstring>

#include "inspect/table_bytes.h"

extern "C" {
// libgcc: finds the .eh_frame entry (FDE) for `pc`. Exported for exactly this use, but declared in no header.
struct dwarf_eh_bases {
  void* tbase;
  void* dbase;
  void* func;
};
const void* _Unwind_Find_FDE(void* pc, dwarf_eh_bases* bases);
}

namespace aiofiber::runtime {
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

  header.raw(pointer_encoding);  // the function's start, known from `bases`
  table.function_end = table.function + header.raw(pointer_encoding & 0x0f);
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

}  // namespace aiofiber::runtime
