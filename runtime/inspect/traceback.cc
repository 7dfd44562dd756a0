// SPDX-License-Identifier: Apache-2.0
//
// The program's own frames, in the format of a Python traceback.
#include "aiofiber/runtime/inspect/traceback.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "aiofiber/runtime/engine/syscall.h"
#include "inspect/fold_repeats.h"

namespace aiofiber::runtime {

namespace {

void append_frame(const SymbolizedFrame& frame, std::string& out) {
  if (frame.address == 0) {  // a callable whose code has no address of its own
    absl::StrAppend(&out, "  In ", frame.function, "\n");
    return;
  }
  if (frame.module.empty()) {  // code that was generated at run time, or was unloaded
    absl::StrAppend(&out, "  Address 0x", absl::Hex(frame.address), ", in no module\n");
    return;
  }
  if (frame.file.empty()) {
    absl::StrAppend(&out, "  Module \"", frame.module, "\"+0x", absl::Hex(frame.module_offset), ", in ",
                    frame.function);
    if (!frame.build_id.empty()) absl::StrAppend(&out, " [build-id ", frame.build_id, "]");
    out += '\n';
    return;
  }
  absl::StrAppend(&out, "  File \"", frame.file, "\", line ", frame.line, ", in ", frame.function,
                  frame.inlined ? " [inlined]\n" : "\n");
  const std::string line = source_line(frame.file, frame.line);
  if (!line.empty()) absl::StrAppend(&out, "    ", line, "\n");
}

bool is_same(const SymbolizedFrame& a, const SymbolizedFrame& b) {
  return a.address == b.address && a.function == b.function && a.line == b.line;
}

// The text at an address that may not be mapped any more: its library may have been unloaded.
std::string text_at(const char* address) {
  constexpr std::size_t kPiece = 64, kMost = 4096;
  std::string text;
  while (text.size() < kMost) {
    char piece[kPiece];
    // Not beyond the end of a page, where the memory may end.
    const char* const from = address + text.size();
    const std::size_t wanted = kPiece - reinterpret_cast<std::uintptr_t>(from) % kPiece;
    if (sys::copy_own_memory(piece, from, wanted) != static_cast<ssize_t>(wanted)) return {};
    const std::size_t length = ::strnlen(piece, wanted);
    text.append(piece, length);
    if (length < wanted) break;
  }
  return text;
}

// A coroutine's function, at the co_await where it is suspended.
SymbolizedFrame coroutine_frame(const Call& coroutine) {
  SymbolizedFrame frame = symbolize(coroutine.address, true).back();
  if (coroutine.file == nullptr) return frame;
  place_in_file(text_at(coroutine.file), frame.file);
  frame.line = static_cast<int>(coroutine.line);
  return frame;
}

}  // namespace

std::vector<SymbolizedFrame> program_frames(std::span<const std::uintptr_t> calls) {
  std::vector<SymbolizedFrame> newest_first;
  while (!calls.empty()) {
    const Call call = next_call(calls);
    for (SymbolizedFrame& frame :
         call.is_coroutine ? std::vector{coroutine_frame(call)} : symbolize(call.address)) {
      // The caller of the loop is not part of a callback's stack, just as a task's stack has no caller.
      if (frame.linkage_name == kRunsTheLoop) return {newest_first.rbegin(), newest_first.rend()};
      if (!is_plumbing(frame.function, frame.linkage_name, frame.file, frame.inlined))
        newest_first.push_back(std::move(frame));
    }
  }
  return {newest_first.rbegin(), newest_first.rend()};
}

std::vector<SymbolizedFrame> fiber_frames(std::span<const std::uintptr_t> calls, std::uintptr_t entry) {
  const auto is_own = [](const SymbolizedFrame& frame) {
    return !is_library_code(frame.file, frame.module) &&
           !is_plumbing(frame.function, frame.linkage_name, frame.file, frame.inlined);
  };
  std::vector<SymbolizedFrame> frames = program_frames(calls);
  if (entry == 0 || std::any_of(frames.begin(), frames.end(), is_own)) return frames;
  SymbolizedFrame first = symbolize(entry, true).back();
  if (calls.empty() || is_own(first)) frames.insert(frames.begin(), std::move(first));
  return frames;
}

std::string format_frames(std::span<const SymbolizedFrame> frames) {
  std::string out = format_frames_only(frames);
  const auto is_unknown = [](const SymbolizedFrame& frame) { return frame.file.empty(); };
  if (std::any_of(frames.begin(), frames.end(), is_unknown)) out += missing_names_line();
  return out;
}

std::string missing_names_line() {
  const std::string text = missing_names();
  return text.empty() ? text : "  " + text + '\n';
}

std::string format_frames_only(std::span<const SymbolizedFrame> frames) {
  std::string out;
  fold_repeats(
      frames.size(), [&](std::size_t i, std::size_t k) { return is_same(frames[i], frames[k]); },
      [&](std::size_t i) { append_frame(frames[i], out); },
      [&](std::size_t lines, std::size_t times) { out += "  " + repeats_text(lines, times) + '\n'; });
  return out;
}

}  // namespace aiofiber::runtime
