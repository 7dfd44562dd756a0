// SPDX-License-Identifier: Apache-2.0
//
// Stack walks through frames whose return addresses are signed, as distributions compile for AArch64
// (-mbranch-protection=standard, which CMake gives this file): they are those of libgcc's unwinder.
#include <aiofiber/runtime/inspect/unwind.h>

#include <gtest/gtest.h>
#include <unwind.h>

#include <array>
#include <cstdint>
#include <vector>

namespace aiofiber::runtime {
namespace {

struct Walks {
  std::vector<std::uintptr_t> ours, libgcc;
  bool is_signed = false;
  bool would_terminate = false;
};
Walks* g_walks;

_Unwind_Reason_Code add_frame(_Unwind_Context* context, void*) {
  // libgcc reports the end of the stack as a frame at 0.
  if (_Unwind_GetIP(context) != 0) g_walks->libgcc.push_back(_Unwind_GetIP(context));
  return _URC_NO_REASON;
}

void keep_frame() { asm volatile("" ::: "memory"); }

[[gnu::noinline]] void look() {
  std::array<std::uintptr_t, 64> frames;
  const Registers here = current_registers();
  const std::size_t count = unwind(here, thread_stack_bounds(), frames);
  g_walks->ours.assign(frames.begin(), frames.begin() + static_cast<std::ptrdiff_t>(count));
  _Unwind_Backtrace(add_frame, nullptr);
  // A frame record: x29, and x30 as the function saved it.
  const auto* const record = static_cast<const std::uintptr_t*>(__builtin_frame_address(0));
  g_walks->is_signed = record[1] != g_walks->ours.at(1);
  g_walks->would_terminate = throw_would_terminate(here, thread_stack_bounds(), {});
  keep_frame();
}

template <int kDepth>
[[gnu::noinline]] void descend() {
  volatile char room[kDepth * 48 + 16];
  room[0] = 1;
  if constexpr (kDepth == 0) {
    look();
  } else {
    descend<kDepth - 1>();
  }
  room[1] = room[0];
  keep_frame();
}

[[gnu::noinline]] void descend_without_exceptions() noexcept {
  descend<2>();
  keep_frame();
}

Walks walks(void (*from)()) {
  Walks result;
  g_walks = &result;
  from();
  return result;
}

TEST(SignedFrames, AreWalkedAsByLibgcc) {
  const Walks result = walks([] {
    descend<6>();
    keep_frame();
  });
  if (!result.is_signed) GTEST_SKIP() << "the processor signs no addresses";
  ASSERT_GT(result.ours.size(), 9u);
  ASSERT_EQ(result.ours.size(), result.libgcc.size());
  // The newest frame is that of two different calls in look().
  for (std::size_t i = 1; i < result.ours.size(); ++i) EXPECT_EQ(result.ours[i], result.libgcc[i]) << i;
}

TEST(SignedFrames, TellWhetherAThrowWouldEndTheProgram) {
  const auto guarded = [](void (*body)()) {
    try {
      return walks(body);
    } catch (...) {
      return Walks();
    }
  };
  EXPECT_TRUE(guarded(descend_without_exceptions).would_terminate);
  EXPECT_FALSE(guarded(descend<3>).would_terminate);
}

}  // namespace
}  // namespace aiofiber::runtime
