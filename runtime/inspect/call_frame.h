// SPDX-License-Identifier: Apache-2.0
//
// Call-frame information: what .eh_frame says about a function.
//
// libgcc finds the entry, and the code here parses it in the same way for every processor. What its
// instructions mean for a processor's registers is in runtime/arch/: frame_rule.h.
#pragma once

#include <cstdint>
#include <optional>

namespace aiofiber::runtime {

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
  std::uintptr_t function_end = 0;
  std::uintptr_t personality = 0;
  std::uintptr_t exception_table = 0;  // LSDA; 0 when exceptions pass through without any work
};

// The table of the function that contains `instruction`: an address inside the calling instruction, not after
// it.
std::optional<FrameTable> find_frame_table(std::uintptr_t instruction);

}  // namespace aiofiber::runtime
