// SPDX-License-Identifier: Apache-2.0
//
// From an address in the target to function, file and line, also for inlined calls.
//
// The modules belong to the target. The runtime's own reader reads their debug information. Each address is
// looked up once. Without debug information the result is only the symbol, or the module and an offset.
#pragma once

#include <absl/container/node_hash_map.h>

#include <cstdint>
#include <string>
#include <vector>

#include "inspect/debug_info.h"
#include "stack_walker.h"
#include "target.h"

namespace aiofiber::tool {

struct Frame {
  std::uint64_t address = 0;
  std::string function;      // for display; "??" when unknown
  std::string linkage_name;  // mangled; empty when unknown
  std::string file;          // empty when unknown
  int line = 0;              // 0 when unknown
  bool inlined = false;
  bool entry = false, coroutine = false, runs = false;  // see Address
  std::string module;                                   // path; empty when the address is in none
  std::uint64_t module_offset = 0;
  std::string build_id;  // of the module, in hexadecimal digits
};

class Symbolizer {
 public:
  explicit Symbolizer(Target& target) : target_(target) {}

  // INNERMOST (inlined) first, the function with the stack frame last; at least one.
  const std::vector<Frame>& frames(const Address& address);

 private:
  std::vector<Frame> look_up(const Address& address);
  std::string text_at(std::uint64_t address);

  Target& target_;
  absl::node_hash_map<Address, std::vector<Frame>> known_;  // frames() gives references to its values
  runtime::DebugInfo debug_info_;
};

}  // namespace aiofiber::tool
