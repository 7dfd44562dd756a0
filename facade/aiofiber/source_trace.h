// SPDX-License-Identifier: Apache-2.0
//
// SourceTrace: where an object was made: the stack at its construction, recorded in debug mode only.
//
// A future, task or handle has a SourceTrace, which is a null pointer outside debug mode. Addresses are
// captured at construction, at about 5 ns a frame, and are symbolized when they are read. Coroutines have no
// loop, so a global count of loops in debug mode decides for them. Source: asyncio's _source_traceback,
// sys.set_coroutine_origin_tracking_depth(). Not for users.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::runtime {
struct SymbolizedFrame;
}

namespace aiofiber::detail {

class SourceTrace {
 public:
  static constexpr std::size_t kFramesShown = 16;

  SourceTrace() noexcept = default;
  // Captures the calling stack; stays empty without memory.
  void capture() noexcept { addresses_.reset(captured()); }
  bool empty() const noexcept { return addresses_ == nullptr; }
  // `FILE:LINE` of the innermost frame of the program; empty when there is none.
  std::string location() const;
  // At most kFramesShown of the program's newest frames, oldest first.
  std::vector<runtime::SymbolizedFrame> frames() const;

 protected:
  static constexpr std::size_t kFramesCaptured = 32;  // some of them are aiofiber's own
  struct Addresses {
    std::uint32_t count;
    std::uintptr_t values[kFramesCaptured];
  };
  explicit SourceTrace(Addresses* addresses) noexcept : addresses_(addresses) {}
  static Addresses* captured() noexcept;

 private:
  std::unique_ptr<Addresses> addresses_;
};

// The number of loops in debug mode, in the whole process.
extern constinit std::atomic<std::uint32_t> loops_in_debug_mode;

// The trace of an object without a loop. The constructor gives its address to no function, so that the
// compiler can keep the object around it in registers.
class OriginTrace : public SourceTrace {
 public:
  OriginTrace() noexcept : SourceTrace(is_wanted() ? captured() : nullptr) {}

 private:
  static bool is_wanted() noexcept {
    return AIOFIBER_UNLIKELY(loops_in_debug_mode.load(std::memory_order_relaxed) > 0);
  }
};

}  // namespace aiofiber::detail
