// SPDX-License-Identifier: Apache-2.0
//
// Debug information that differs from g++'s -g: clang lists no address ranges, and with -g1 it describes only
// functions with inlined calls. The frames are those of a library that clang++ compiled. Comments on its
// lines have the expected names.
// Labels: long
#include <aiofiber/runtime/inspect/symbolize.h>
#include <aiofiber/runtime/inspect/unwind.h>

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace aiofiber::runtime {
namespace {

std::array<std::uintptr_t, 16> g_frames;
std::size_t g_count;

void record() { g_count = unwind(current_registers(), thread_stack_bounds(), g_frames); }

// The frames of the library in such a call, newest first.
std::vector<SymbolizedFrame> frames_in(const std::string& library) {
  void* const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(handle, nullptr) << dlerror();
  if (handle == nullptr) return {};
  reinterpret_cast<void (*)(void (*)())>(dlsym(handle, "run_plugin"))(record);
  std::vector<SymbolizedFrame> frames;
  for (std::size_t i = 0; i < g_count; ++i) {
    for (SymbolizedFrame& frame : symbolize(g_frames[i])) {
      if (frame.module.ends_with(library.substr(library.rfind('/')))) frames.push_back(std::move(frame));
    }
  }
  dlclose(handle);
  return frames;
}

class OtherCompilers : public ::testing::TestWithParam<const char*> {};

TEST_P(OtherCompilers, EveryFrameHasItsLine) {
  const std::string flags = GetParam();
  if (*AIOFIBER_CLANG_PLUGINS == '\0') GTEST_SKIP() << "clang++ is not installed (tools/setup check)";
  const auto frames = frames_in(AIOFIBER_CLANG_PLUGINS + flags + ".so");
  const char* const marks[] = {"inner lambda", "outer lambda", "method", "template", "entry"};
  ASSERT_EQ(frames.size(), std::size(marks));
  for (std::size_t i = 0; i < frames.size(); ++i) {
    EXPECT_TRUE(frames[i].file.ends_with("runtime/inspect/debug_plugin.cc")) << i << ' ' << frames[i].file;
    const std::string line = source_line(frames[i].file, frames[i].line);
    EXPECT_TRUE(line.ends_with("// line of the " + std::string(marks[i]))) << i << ' ' << line;
  }
  // What was inlined has, with -g1, only the last part of its name.
  for (const SymbolizedFrame& frame : frames) {
    if (frame.inlined) continue;
    EXPECT_NE(frame.linkage_name, "") << frame.function;
    EXPECT_TRUE(frame.function == "run_plugin" || frame.function.starts_with("plugin::")) << frame.function;
  }
  EXPECT_EQ(frames[3].function, "plugin::start<plugin::Worker>");
}

TEST(Plumbing, HooksAreAndTheirTestsAreNot) {
  EXPECT_TRUE(is_hook("/home/me/aiofiber/runtime/hooks/net/net.cc"));
  EXPECT_TRUE(is_hook("runtime/hooks/core/blocking_call.cc"));
  EXPECT_FALSE(is_hook("/home/me/aiofiber/tests/runtime/hooks/net/sockets_test.cc"));
  EXPECT_FALSE(is_hook("/home/me/aiofiber/runtime/engine/parker.cc"));
}

TEST(Plumbing, IsKnownByItsFileWhereNamesHaveNoScopes) {
  const auto folded = [](const char* function, const char* file, bool inlined = true) {
    return is_plumbing(function, "", file, inlined);
  };
  EXPECT_TRUE(folded("await<void>", "/usr/include/aiofiber/await.h"));
  EXPECT_TRUE(folded("park", "/usr/include/aiofiber/runtime/engine/parker.h"));
  EXPECT_TRUE(folded("invoke<a::f &>", "/usr/include/c++/12/functional"));
  EXPECT_TRUE(folded("__invoke<a::f &>", "/usr/include/c++/12/bits/invoke.h"));
  EXPECT_FALSE(folded("push_back", "/usr/include/c++/12/bits/stl_vector.h"));
  EXPECT_FALSE(folded("app::call", "/usr/include/aiofiber/await.h"))
      << "an own name is the program's, wherever it stands";
  EXPECT_FALSE(folded("call", "/home/me/aiofiber/app.cc"));
  EXPECT_FALSE(folded("call", "/home/me/aiofiber/src/app.h"));
  EXPECT_FALSE(folded("call", "await.h"));
  EXPECT_FALSE(folded("await<void>", "/usr/include/aiofiber/await.h", false))
      << "a function of its own has its full name";
}

INSTANTIATE_TEST_SUITE_P(Clang, OtherCompilers, ::testing::Values("O0_g", "O2_g", "O0_g1", "O2_g1"));

}  // namespace
}  // namespace aiofiber::runtime
