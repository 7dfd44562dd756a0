// SPDX-License-Identifier: Apache-2.0
//
// Captures a stack as addresses, and symbolizes it when it is read.
#include "aiofiber/source_trace.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <new>
#include <span>

#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/inspect/traceback.h"
#include "aiofiber/runtime/inspect/unwind.h"

namespace aiofiber::detail {

constinit std::atomic<std::uint32_t> loops_in_debug_mode{0};

SourceTrace::Addresses* SourceTrace::captured() noexcept {
  auto* const addresses = new (std::nothrow) Addresses;
  if (addresses != nullptr)
    addresses->count = static_cast<std::uint32_t>(runtime::list_current_calls(addresses->values));
  return addresses;
}

std::vector<runtime::SymbolizedFrame> SourceTrace::frames() const {
  if (addresses_ == nullptr) return {};
  const runtime::HooksOff hooks_off;
  auto frames = runtime::program_frames({addresses_->values, addresses_->count});
  if (frames.size() > kFramesShown) frames.erase(frames.begin(), frames.end() - kFramesShown);
  return frames;
}

std::string SourceTrace::location() const {
  const auto all = frames();
  if (all.empty() || all.back().file.empty()) return {};
  return absl::StrCat(all.back().file, ":", all.back().line);
}

}  // namespace aiofiber::detail
