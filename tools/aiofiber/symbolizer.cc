// SPDX-License-Identifier: Apache-2.0
//
// Debug information first, then the symbol tables; otherwise a module and an offset.
#include "symbolizer.h"

#include <algorithm>
#include <cstring>

#include "aiofiber/runtime/inspect/function_name.h"
#include "failure.h"
#include "inspect/debug_file.h"

namespace aiofiber::tool {

const std::vector<Frame>& Symbolizer::frames(const Address& address) {
  const auto [entry, fresh] = known_.try_emplace(address);
  if (!fresh) return entry->second;
  std::vector<Frame>& frames = entry->second;
  frames = look_up(address);
  if (address.coroutine) {
    frames.erase(frames.begin(), frames.end() - 1);
    Frame& frame = frames.back();
    frame.coroutine = true;
    frame.runs = address.runs;
    if (address.line != 0) {
      runtime::place_in_file(text_at(address.file), frame.file);
      frame.line = static_cast<int>(std::min<std::uint32_t>(address.line, INT32_MAX));
    }
  }
  return frames;
}

// A NUL-terminated text of the target; empty if it cannot be read.
std::string Symbolizer::text_at(std::uint64_t address) {
  constexpr std::size_t kPiece = 64, kMost = 4096;
  std::string text;
  try {
    while (text.size() < kMost) {
      char piece[kPiece];
      // Not beyond the end of a page, where the memory may end.
      const std::size_t wanted = kPiece - (address + text.size()) % kPiece;
      if (!target_.read(address + text.size(), piece, wanted)) return {};
      const std::size_t length = ::strnlen(piece, wanted);
      text.append(piece, length);
      if (length < wanted) return text;
    }
  } catch (const Failure&) {
    // The target has ended since the snapshot.
  }
  return {};
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
