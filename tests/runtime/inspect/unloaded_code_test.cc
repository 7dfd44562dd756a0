// SPDX-License-Identifier: Apache-2.0
//
// A library is closed and another one is mapped at its address, as happens with plugins. Stacks and names are
// those of the new code, although the caches still have data of the old code.
//
// Labels: long
#include <aiofiber/runtime/inspect/symbolize.h>
#include <aiofiber/runtime/inspect/unwind.h>

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <vector>

namespace aiofiber::runtime {
namespace {

std::vector<std::uintptr_t> g_addresses;

void capture() {
  std::array<std::uintptr_t, 64> addresses;
  notice_unloaded_code();
  const std::size_t count = unwind(current_registers(), thread_stack_bounds(), addresses);
  g_addresses.assign(addresses.begin(), addresses.begin() + static_cast<std::ptrdiff_t>(count));
}

struct Visit {
  void* where;  // plugin_enter()
  std::vector<std::string> functions;
};

Visit visit(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  const auto enter = reinterpret_cast<int (*)(void (*)())>(dlsym(library, "plugin_enter"));
  EXPECT_EQ(enter(capture), 2);
  Visit result{reinterpret_cast<void*>(enter), {}};
  for (const std::uintptr_t address : g_addresses) {
    for (const SymbolizedFrame& frame : symbolize(address)) result.functions.push_back(frame.function);
  }
  dlclose(library);
  return result;
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

TEST(UnloadedCode, IsNotTakenForTheCodeThatStandsThereNow) {
  const Visit first = visit(AIOFIBER_FIRST_PLUGIN);
  const Visit second = visit(AIOFIBER_SECOND_PLUGIN);

  if (first.where != second.where) GTEST_SKIP() << "the loader has put the second library elsewhere";
  EXPECT_TRUE(has(first.functions, "plugin::first")) << testing::PrintToString(first.functions);
  EXPECT_TRUE(has(second.functions, "plugin::second")) << testing::PrintToString(second.functions);
  EXPECT_FALSE(has(second.functions, "plugin::first")) << testing::PrintToString(second.functions);
  EXPECT_EQ(second.functions.size(), first.functions.size());
  EXPECT_TRUE(has(second.functions, "main")) << testing::PrintToString(second.functions);
}

}  // namespace
}  // namespace aiofiber::runtime
