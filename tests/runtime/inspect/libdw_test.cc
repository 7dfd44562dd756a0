// SPDX-License-Identifier: Apache-2.0
//
// libdw is loaded by the first look-up of a name and not before, and what is said when it cannot be loaded.
// Each test is a process of its own, because a process loads it once.
#include <aiofiber/runtime/engine/config.h>
#include <aiofiber/runtime/inspect/symbolize.h>
#include <aiofiber/runtime/inspect/traceback.h>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

namespace aiofiber::runtime {
namespace {

[[gnu::noinline]] void place() { asm volatile(""); }
constexpr int kLineOfPlace = __LINE__ - 1;

std::vector<SymbolizedFrame> look_up() { return symbolize(reinterpret_cast<std::uintptr_t>(&place), true); }

bool has_libdw() {
  const auto look = [](dl_phdr_info* module, std::size_t, void*) {
    return std::strstr(module->dlpi_name, "libdw") != nullptr ? 1 : 0;
  };
  return dl_iterate_phdr(look, nullptr) != 0;
}

bool knows_the_place() {
  const SymbolizedFrame frame = look_up().back();
  return frame.function.ends_with("::place") && frame.file.ends_with("libdw_test.cc") &&
         frame.line == kLineOfPlace;
}

// In a child: whether `steps` holds. gtest's macro wants an exit.
template <class Steps>
void expect_in_a_child(Steps steps) {
  EXPECT_EXIT(::_exit(steps() ? 0 : 1), testing::ExitedWithCode(0), "");
}

TEST(Libdw, CanBeLoadedBefore) {
  expect_in_a_child([] { return prepare_symbols() && has_libdw() && knows_the_place(); });
}

#if !AIOFIBER_ASAN  // where each program is linked with it

TEST(Libdw, IsLoadedByTheFirstLookUp) {
  expect_in_a_child(
      [] { return !has_libdw() && knows_the_place() && has_libdw() && missing_names().empty(); });
}

TEST(Libdw, IsTriedAgainWhenDescriptorsWereShort) {
  expect_in_a_child([] {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    const rlimit none{3, limit.rlim_max};
    const int low = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::setrlimit(RLIMIT_NOFILE, &none);
    const std::string text = format_frames(look_up());
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::close(low);
    return text.find("Names and lines are missing: libdw.so.1: ") != std::string::npos && knows_the_place() &&
           missing_names().empty();
  });
}

// Run by the next test, with a broken library.
TEST(Libdw, DISABLED_PrintsAFrame) { std::fputs(format_frames(look_up()).c_str(), stdout); }

TEST(Libdw, IsMissedInWords) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("aiofiber-libdw-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  std::ofstream(folder / "libdw.so.1") << "no library";

  const std::string command = "LD_LIBRARY_PATH='" + folder.string() + "' '" +
                              std::filesystem::read_symlink("/proc/self/exe").string() +
                              "' --gtest_also_run_disabled_tests --gtest_filter=Libdw.DISABLED_PrintsAFrame";
  std::FILE* const child = ::popen(command.c_str(), "r");
  ASSERT_NE(child, nullptr);
  std::string text;
  std::array<char, 4096> piece;
  while (const std::size_t got = std::fread(piece.data(), 1, piece.size(), child))
    text.append(piece.data(), got);
  EXPECT_EQ(::pclose(child), 0);
  std::filesystem::remove_all(folder);

  EXPECT_NE(text.find("libdw_test\"+0x"), std::string::npos) << text;
  EXPECT_NE(text.find("  Names and lines are missing: " + (folder / "libdw.so.1").string()),
            std::string::npos)
      << text;
  EXPECT_NE(text.find(". It is elfutils' (Debian: libdw1).\n"), std::string::npos) << text;
}

#endif

}  // namespace
}  // namespace aiofiber::runtime
