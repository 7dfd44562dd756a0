// SPDX-License-Identifier: Apache-2.0
//
// The kernel's lists of mappings, and the modules in them.
#include "inspect/process_modules.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <tuple>

namespace aiofiber::runtime {
namespace {

using Found = std::vector<std::tuple<std::string, std::uint64_t, std::uint64_t>>;

Found modules_of(const std::string& text) {
  std::istringstream in(text);
  Found found;
  for (const ProcessModule& module : read_modules(in))
    found.emplace_back(module.name, module.low, module.high);
  return found;
}

constexpr char kLibrary[] =
    "7f0000010000-7f0000011000 r--p 00000000 08:01 42                 /lib/x.so\n"
    "7f0000011000-7f0000013000 r-xp 00001000 08:01 42                 /lib/x.so\n"
    "7f0000013000-7f0000014000 r--p 00003000 08:01 42                 /lib/x.so\n"
    "7f0000014000-7f0000015000 rw-p 00003000 08:01 42                 /lib/x.so\n"
    "7f0000015000-7f0000017000 rw-p 00000000 00:00 0 \n";
const Found kAlone{{"/lib/x.so", 0x7f0000010000, 0x7f0000015000}};

TEST(ProcessModules, AreTheMappingsOfAFileFromItsBeginning) {
  EXPECT_EQ(modules_of(kLibrary), kAlone);
  EXPECT_EQ(modules_of(""), Found());
  EXPECT_EQ(modules_of("no mapping\n"), Found());
}

// As libelf maps a file for its symbols, wherever the kernel puts it.
TEST(ProcessModules, AreNoFilesThatAreMappedWhole) {
  const std::string library = kLibrary;
  EXPECT_EQ(modules_of("7f000000a000-7f0000010000 rw-p 00000000 08:01 42 /lib/x.so\n" + library), kAlone)
      << "right before it";
  EXPECT_EQ(modules_of("7f0000003000-7f0000009000 r--p 00000000 08:01 42 /lib/x.so\n" + library), kAlone)
      << "before it";
  EXPECT_EQ(modules_of(library.substr(0, library.rfind("7f0000015000")) +
                       "7f0000015000-7f000001b000 rw-p 00000000 08:01 42 /lib/x.so\n"),
            kAlone)
      << "right behind it";
  EXPECT_EQ(modules_of(library + "7f0000017000-7f000001d000 rw-p 00000000 08:01 42 /lib/x.so\n"), kAlone)
      << "behind it";
  EXPECT_EQ(modules_of(library + "7f0000017000-7f000001d000 rw-p 00000000 08:01 99 /lib/other.debug\n"),
            kAlone)
      << "a debug file";
}

// As lld links a small library: in the file, its segments begin within the first page.
TEST(ProcessModules, MayMapTheirFirstPageAgain) {
  const std::string library =
      "7f0000010000-7f0000011000 r--p 00000000 08:01 42 /lib/x.so\n"
      "7f0000011000-7f0000013000 r-xp 00000000 08:01 42 /lib/x.so\n"
      "7f0000013000-7f0000014000 r--p 00001000 08:01 42 /lib/x.so\n";
  const Found alone{{"/lib/x.so", 0x7f0000010000, 0x7f0000014000}};
  EXPECT_EQ(modules_of(library), alone);
  EXPECT_EQ(modules_of("7f000000a000-7f0000010000 r--p 00000000 08:01 42 /lib/x.so\n" + library), alone)
      << "mapped whole right before it";
  const std::string tiny =
      "7f0000010000-7f0000011000 r--p 00000000 08:01 42 /lib/x.so\n"
      "7f0000011000-7f0000012000 r-xp 00000000 08:01 42 /lib/x.so\n"
      "7f0000012000-7f0000013000 r--p 00000000 08:01 42 /lib/x.so\n"
      "7f0000013000-7f0000014000 rw-p 00000000 08:01 42 /lib/x.so\n";
  EXPECT_EQ(modules_of(tiny), alone);
  EXPECT_EQ(modules_of(tiny + "7f0000014000-7f0000016000 rw-p 00000000 08:01 42 /lib/x.so\n"), alone)
      << "mapped whole right behind it";
}

TEST(ProcessModules, AreToldApartAlthoughTheFileIsTheSame) {
  const std::string deleted =
      "7f0000020000-7f0000021000 r--p 00000000 08:01 42 /lib/x.so (deleted)\n"
      "7f0000021000-7f0000022000 r-xp 00001000 08:01 42 /lib/x.so (deleted)\n";
  EXPECT_EQ(modules_of(kLibrary + deleted),
            (Found{kAlone[0], {"/lib/x.so (deleted)", 0x7f0000020000, 0x7f0000022000}}));
  // A namespace of dlmopen() has a second one.
  const std::string second = "7f0000030000-7f0000031000 r-xp 00000000 08:01 42 /lib/x.so\n";
  EXPECT_EQ(modules_of(kLibrary + second), (Found{kAlone[0], {"/lib/x.so", 0x7f0000030000, 0x7f0000031000}}));
}

TEST(ProcessModules, HaveTheKernelsPageAndNamesWithBlanks) {
  EXPECT_EQ(modules_of("400000-401000 r-xp 00000000 08:01 7    /tmp/a b (c)\n"
                       "7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0    [stack]\n"
                       "7ffd00100000-7ffd00104000 r--p 00000000 00:00 0    [vvar]\n"
                       "7ffd00104000-7ffd00106000 r-xp 00000000 00:00 0    [vdso]\n"),
            (Found{{"/tmp/a b (c)", 0x400000, 0x401000}, {"[vdso]", 0x7ffd00104000, 0x7ffd00106000}}));
}

TEST(ProcessModules, HoldTheCodeOfThisProcess) {
  std::ifstream maps("/proc/self/maps");
  int holders = 0;
  for (const ProcessModule& module : read_modules(maps)) {
    const auto address = reinterpret_cast<std::uint64_t>(&modules_of);
    if (address >= module.low && address < module.high) ++holders;
  }
  EXPECT_EQ(holders, 1);
}

TEST(ProcessModules, OfAProcessThatIsNotThereAreAnError) {
  const Dwfl_Callbacks callbacks{};
  Dwfl* const dwfl = dwfl_begin(&callbacks);
  EXPECT_EQ(report_process_modules(dwfl, 0x3fffffff), ENOENT);
  dwfl_end(dwfl);
}

}  // namespace
}  // namespace aiofiber::runtime
