// SPDX-License-Identifier: Apache-2.0
//
// Debug information first, then the symbol tables; otherwise a module and an offset.
#include "symbolizer.h"

#include "inspect/debug_file.h"

namespace aiofiber::tool {

const std::vector<Frame>& Symbolizer::frames(const Address& address) {
  const auto [entry, fresh] = known_.try_emplace(address);
  if (fresh) entry->second = look_up(address);
  return entry->second;
}

std::vector<Frame> Symbolizer::look_up(const Address& address) {
  const std::uint64_t instruction = address.exact ? address.pc : address.pc - 1;
  Frame frame;
  frame.address = address.pc;
  frame.entry = address.entry;
  frame.function = "??";
  Dwfl_Module* module = dwfl_addrmodule(target_.modules(), instruction);
  Dwarf_Addr start = 0, end = 0;
  const char* path =
      module == nullptr ? nullptr
                        : dwfl_module_info(module, nullptr, &start, &end, nullptr, nullptr, nullptr, nullptr);
  if (path == nullptr || instruction < start || instruction >= end) return {frame};
  frame.module = path;
  frame.module_offset = address.pc - start;
  frame.build_id = runtime::build_id(module);
  std::vector<Frame> frames;
  for (runtime::DebugFrame& found : debug_info_.look_up(module, instruction)) {
    frame.function = std::move(found.name.display);
    frame.linkage_name = std::move(found.name.linkage);
    frame.file = std::move(found.file);
    frame.line = found.line;
    frame.inlined = found.inlined;
    frames.push_back(frame);
  }
  return frames;
}

}  // namespace aiofiber::tool
