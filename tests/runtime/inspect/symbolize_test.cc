// SPDX-License-Identifier: Apache-2.0
//
// Symbolization of this program: the expected lines come from __LINE__ next to the code in question.
// Needs debug information (-g), which the project's default build type has.
// Labels: threads debuginfo long
#include <aiofiber/runtime/inspect/symbolize.h>
#include <aiofiber/runtime/inspect/unwind.h>

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "inspect/debug_info.h"

namespace legacy {

std::array<std::uintptr_t, 16> g_frames;
std::size_t g_count;

[[gnu::noinline]] void record() {
  g_count = aiofiber::runtime::unwind(aiofiber::runtime::current_registers(),
                                      aiofiber::runtime::thread_stack_bounds(), g_frames);
}

constexpr int kFetchLine = __LINE__ + 2;
[[gnu::noinline]] void fetch(int, const std::string&) {
  record();  // the line that is expected
  asm volatile("" ::: "memory");
}

constexpr int kReadLine = __LINE__ + 2, kParseLine = kReadLine + 5, kLoadLine = kParseLine + 5;
[[gnu::always_inline]] inline void read_row() {
  record();
  asm volatile("" ::: "memory");
}

[[gnu::always_inline]] inline void parse_row() {
  read_row();
  asm volatile("" ::: "memory");
}

[[gnu::noinline]] void load_rows() {
  parse_row();
  asm volatile("" ::: "memory");
}

template <typename T>
struct Table {
  template <typename U>
  [[gnu::noinline]] U find(T, U value) const {
    record();
    asm volatile("" ::: "memory");
    return value;
  }
  [[gnu::noinline]] int operator()(int value) const {
    record();
    asm volatile("" ::: "memory");
    return value;
  }
};

namespace {
[[gnu::noinline]] void hidden() {
  record();
  asm volatile("" ::: "memory");
}
}  // namespace

}  // namespace legacy

extern "C" [[gnu::noinline]] void plain_c_function(int) {
  legacy::record();
  asm volatile("" ::: "memory");
}

namespace aiofiber::runtime {
namespace {

// The frames that the caller of record() stands for.
template <typename Call>
std::vector<SymbolizedFrame> frames_of(Call call) {
  call();
  EXPECT_GE(legacy::g_count, 2u);
  return symbolize(legacy::g_frames[1]);
}

std::string file_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

TEST(Symbolize, FindsFunctionFileAndLine) {
  const auto frames = frames_of([] { legacy::fetch(1, "x"); });

  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].function, "legacy::fetch");
  EXPECT_EQ(demangle(frames[0].linkage_name.c_str()).substr(0, 18), "legacy::fetch(int,");
  EXPECT_EQ(file_name(frames[0].file), "symbolize_test.cc");
  EXPECT_EQ(frames[0].line, legacy::kFetchLine);
  EXPECT_FALSE(frames[0].inlined);
  EXPECT_EQ(file_name(frames[0].module), "symbolize_test");
  EXPECT_EQ(frames[0].address, legacy::g_frames[1]);
}

// One that begins as zero, and one that does not: only the second is in the file.
int g_zeros[4];
int g_numbers[4] = {1, 2, 3, 4};

TEST(Symbolize, NamesVariables) {
  const auto name = [](const void* address) {
    return data_symbol(reinterpret_cast<std::uintptr_t>(address));
  };
  EXPECT_TRUE(name(&g_zeros[0]).ends_with("::g_zeros")) << name(&g_zeros[0]);
  EXPECT_TRUE(name(&g_numbers[2]).ends_with("::g_numbers+0x8")) << name(&g_numbers[2]);
  const int local = 0;
  EXPECT_EQ(name(&local), "");
  EXPECT_EQ(name(reinterpret_cast<const void*>(&getpid)), "") << "a function is no variable";
  EXPECT_EQ(name(nullptr), "");
}

TEST(Symbolize, ListsInlinedCallsInnermostFirst) {
  const auto frames = frames_of([] { legacy::load_rows(); });

  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(frames[0].function, "legacy::read_row");
  EXPECT_EQ(frames[0].line, legacy::kReadLine);
  EXPECT_TRUE(frames[0].inlined);
  EXPECT_EQ(frames[1].function, "legacy::parse_row");
  EXPECT_EQ(frames[1].line, legacy::kParseLine);
  EXPECT_TRUE(frames[1].inlined);
  EXPECT_EQ(frames[2].function, "legacy::load_rows");
  EXPECT_EQ(frames[2].line, legacy::kLoadLine);
  EXPECT_FALSE(frames[2].inlined);
}

TEST(Symbolize, KeepsTemplateArguments) {
  const auto frames = frames_of([] { legacy::Table<int>().find(1, 2L); });
  EXPECT_EQ(frames.back().function, "legacy::Table<int>::find<long>");
}

TEST(Symbolize, KeepsOperators) {
  const auto frames = frames_of([] { legacy::Table<char>()(1); });
  EXPECT_EQ(frames.back().function, "legacy::Table<char>::operator()");
}

TEST(Symbolize, NamesFunctionsOfAnonymousNamespaces) {
  const auto frames = frames_of([] { legacy::hidden(); });
  EXPECT_EQ(frames.back().function, "legacy::(anonymous namespace)::hidden");
}

TEST(Symbolize, NamesCFunctions) {
  const auto frames = frames_of([] { plain_c_function(1); });
  EXPECT_EQ(frames.back().function, "plain_c_function");
  EXPECT_EQ(frames.back().linkage_name, "plain_c_function");
}

TEST(Symbolize, TakesTheAddressItselfWhenItIsExact) {
  const auto start = reinterpret_cast<std::uintptr_t>(&plain_c_function);
  EXPECT_EQ(symbolize(start, true).back().function, "plain_c_function");
}

TEST(Symbolize, KeepsBothKindsOfAddressApart) {
  const auto start = reinterpret_cast<std::uintptr_t>(&plain_c_function);
  const auto exact = symbolize(start, true);
  const auto behind = symbolize(start + 1, false);

  EXPECT_EQ(exact.back().function, behind.back().function);
  EXPECT_EQ(exact.back().address, start);
  EXPECT_EQ(behind.back().address, start + 1);
  EXPECT_EQ(behind.back().module_offset, exact.back().module_offset + 1);
}

TEST(Symbolize, NamesFunctionsOfLibrariesWithoutDebugInformation) {
  void* address = dlsym(RTLD_DEFAULT, "qsort");
  ASSERT_NE(address, nullptr);

  const auto frames = symbolize(reinterpret_cast<std::uintptr_t>(address), true);

  EXPECT_NE(frames.back().function, "??");
  EXPECT_NE(frames.back().module, "");
  EXPECT_GT(frames.back().module_offset, 0u);
  EXPECT_GE(frames.back().build_id.size(), 16u) << "Debian's libraries have one";
}

TEST(Symbolize, SaysSoWhenAnAddressIsInNoModule) {
  void* page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);

  const auto frames = symbolize(reinterpret_cast<std::uintptr_t>(page) + 16);
  const auto nothing = symbolize(0);

  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].function, "??");
  EXPECT_EQ(frames[0].file, "");
  EXPECT_EQ(frames[0].module, "");
  EXPECT_EQ(frames[0].module_offset, 0u);
  ASSERT_EQ(nothing.size(), 1u);
  EXPECT_EQ(nothing[0].function, "??");
  munmap(page, 4096);
}

TEST(Symbolize, NoticesALibraryThatIsLoadedLater) {
  symbolize(reinterpret_cast<std::uintptr_t>(&plain_c_function), true);  // the modules are known from here on
  void* library = dlopen("libBrokenLocale.so.1", RTLD_NOW);
  if (!library) GTEST_SKIP() << "no library at hand that is not loaded yet";
  Dl_info info{};
  void* symbol = dlsym(library, "__ctype_get_mb_cur_max");
  ASSERT_NE(symbol, nullptr);
  ASSERT_NE(dladdr(symbol, &info), 0);

  const auto frames = symbolize(reinterpret_cast<std::uintptr_t>(symbol), true);

  EXPECT_EQ(file_name(frames.back().module), file_name(info.dli_fname));
  EXPECT_EQ(frames.back().module_offset,
            reinterpret_cast<std::uintptr_t>(symbol) - reinterpret_cast<std::uintptr_t>(info.dli_fbase));
}

TEST(Symbolize, CanBeCalledByThreadsAtOnce) {
  legacy::fetch(1, "x");
  const auto address = legacy::g_frames[1];
  std::vector<std::string> names(3);
  std::vector<std::thread> threads;
  for (auto& name : names)
    threads.emplace_back([&name, address] { name = symbolize(address).back().function; });
  for (auto& thread : threads) thread.join();

  EXPECT_EQ(names, std::vector<std::string>(3, "legacy::fetch"));
}

TEST(SourceLine, IsStripped) {
  // A file of its own: __FILE__ may be relative to a folder that is not the current one.
  const std::string path = ::testing::TempDir() + "source_line_test_" + std::to_string(getpid()) + ".txt";
  std::ofstream(path) << "first\n \t record();  // the second \r\n\nfourth without an end";
  EXPECT_EQ(source_line(path, 1), "first");
  EXPECT_EQ(source_line(path, 2), "record();  // the second");
  EXPECT_EQ(source_line(path, 3), "");
  EXPECT_EQ(source_line(path, 4), "fourth without an end");
  EXPECT_EQ(source_line(path, 5), "");
  std::remove(path.c_str());
}

TEST(SourceLine, IsEmptyWhenItDoesNotExist) {
  EXPECT_EQ(source_line(__FILE__, 0), "");
  EXPECT_EQ(source_line(__FILE__, 1'000'000), "");
  EXPECT_EQ(source_line("/nonexistent/file.cc", 1), "");
  EXPECT_EQ(source_line("", 1), "");
}

// Debug information may name any file: these files have no end, or no writer.
TEST(SourceLine, IsReadFromRegularFilesAlone) {
  EXPECT_EQ(source_line("/dev/zero", 1), "");
  EXPECT_EQ(source_line("/proc/self/status", 1), "");
  const std::string path = ::testing::TempDir() + "source_line_fifo_" + std::to_string(getpid());
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(source_line(path, 1), "");
  std::remove(path.c_str());
  std::ofstream(path) << "too long\n" << std::string(5 << 20, 'x');
  EXPECT_EQ(source_line(path, 1), "");
  std::remove(path.c_str());
  const std::string odd = path + ".odd";  // what was found of a name is kept
  std::ofstream(odd) << std::string(10'000, 'y') << "\nred \x1b[31m\t\x9b \xc3\xa9";
  EXPECT_EQ(source_line(odd, 1), std::string(400, 'y'));
  EXPECT_EQ(source_line(odd, 2), "red ?[31m ? \xc3\xa9");
  std::remove(odd.c_str());
}

TEST(Demangle, LeavesOtherNamesAlone) {
  EXPECT_EQ(demangle("_ZN6legacy5fetchEi"), "legacy::fetch(int)");
  EXPECT_EQ(demangle("main"), "main");
  EXPECT_EQ(demangle("f"), "f");  // a type, if it were demangled
  EXPECT_EQ(demangle("_Znonsense"), "_Znonsense");
  EXPECT_EQ(demangle(nullptr), "");
}

TEST(NameOfSymbol, IsThatOfTheFunctionOfWhichItIsACopyOrAPart) {
  EXPECT_EQ(name_of_symbol("PQexec.cold").display, "PQexec");
  EXPECT_EQ(name_of_symbol("PQexec.cold").linkage, "PQexec.cold");
  EXPECT_EQ(name_of_symbol("send_all.constprop.0.isra.0").display, "send_all");
  EXPECT_EQ(name_of_symbol("_ZN6legacy5fetchEi.cold").display, "legacy::fetch");
  EXPECT_EQ(name_of_symbol("main.fetch").display, "main.fetch") << "other languages have names with points";
  EXPECT_EQ(name_of_symbol(".cold").display, ".cold");
  EXPECT_EQ(name_of_symbol("").display, "??");
}

struct NameCase {
  const char* demangled;
  const char* display;
};

TEST(DisplayName, IsAbridged) {
  constexpr NameCase kCases[] = {
      {"f<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > >",
       "f<std::string>"},
      {"f<std::vector<int, std::allocator<int> > >", "f<std::vector<int> >"},
      {"f<std::map<int, std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, "
       "std::less<int>, "
       "std::allocator<std::pair<int const, std::__cxx11::basic_string<char, std::char_traits<char>, "
       "std::allocator<char> > > > > >",
       "f<std::map<int, std::string> >"},
      {"f<std::unique_ptr<X<int>, std::default_delete<X<int> > > >", "f<std::unique_ptr<X<int> > >"},
      {"f<std::vector<int, my::allocator<int> > >", "f<std::vector<int, my::allocator<int> > >"},
      {"f<std::vector<int, my::allocator<int> >, std::less<int> >",
       "f<std::vector<int, my::allocator<int> > >"},
      {"f<std::map<int, int, std::less<int>, my::allocator<int> > >",
       "f<std::map<int, int, std::less<int>, my::allocator<int> > >"},
      {"f<std::unordered_map<int, X<int>, std::hash<int>, std::equal_to<int>, std::allocator<std::pair<int "
       "const, X<int> > > > >",
       "f<std::unordered_map<int, X<int> > >"},
      {"f<std::__cxx11::basic_string<char> >", "f<std::string>"},  // as g++'s debug information spells it
      {"f<std::__1::basic_string<char, std::__1::char_traits<char>, std::__1::allocator<char>>>",
       "f<std::string>"},
      {"f<std::basic_ostream<char, std::char_traits<char> > >", "f<std::ostream>"},
      {"X::name[abi:cxx11]", "X::name"},
      {"f::$_12", "f::{lambda}"},
      {"main::$_0::operator()", "main::{lambda}"},
      {"main::{lambda}::operator()::{lambda}::operator()", "main::{lambda}"},  // g++ without a linkage name
      {"main::{lambda()#1}::operator()::{lambda(std::string const&)#2}::operator()", "main::{lambda}"},
      {"main::'lambda'()::operator()::'lambda0'(auto)::operator()<int>", "main::{lambda}"},
      {"main::{lambda(auto:1)#2}::operator()<X<int> >", "main::{lambda}"},
      {"main::{lambda}::operator()<main()::<lambda()>::<lambda(const std::string&)> >", "main::{lambda}"},
      {"f<main()::<lambda()>::<lambda(int)> >", "f<main::{lambda}>"},
      {"f<main::$_0::operator()() const::{lambda()#5}::operator()() const::{lambda(int)#1}>",
       "f<main::{lambda}>"},
      {"f<X::g(int (*)(char)) const &::{lambda(int)#1}, int>", "f<X::g::{lambda}, int>"},
      {"main::{lambda(int)#1}::_FUN", "main::{lambda}"},
      {"main::$_1::__invoke", "main::{lambda}"},
      {"main::{lambda}::operator()::Local::run", "main::{lambda}::Local::run"},
      {"f<(anonymous namespace)::X>", "f<(anonymous namespace)::X>"},
      {"f<void (int)>", "f<void (int)>"},
      {"X::operator()", "X::operator()"},
      {"{lambda", "{lambda}"},
      {"'lambda", "'lambda"},
      {"a$_0b", "a$_0b"},
      {"f<, std::allocator<", "f<"},
      {"", ""},
  };
  for (const auto& [display, abridged] : kCases) EXPECT_EQ(abridge(display), abridged) << display;
}

TEST(DisplayName, IsTheQualifiedNameAlone) {
  constexpr NameCase kCases[] = {
      {"main", "main"},
      {"legacy::fetch(int, std::string const&)", "legacy::fetch"},
      {"legacy::Conn::rows() const", "legacy::Conn::rows"},
      {"legacy::Conn::rows() const &", "legacy::Conn::rows"},
      {"void legacy::f<int (*)(char)>(int (*)(char))", "legacy::f<int (*)(char)>"},
      {"std::vector<int, std::allocator<int> > f<int>(int)", "f<int>"},
      {"a::(anonymous namespace)::b(int)", "a::(anonymous namespace)::b"},
      {"(anonymous namespace)::b(int)", "(anonymous namespace)::b"},
      {"foo(int)::{lambda(int)#1}::operator()(int) const", "foo::{lambda(int)#1}::operator()"},
      {"auto foo(int)::{lambda(auto:1)#2}::operator()<int>(int) const",
       "foo::{lambda(auto:1)#2}::operator()<int>"},
      {"X::operator()(int)", "X::operator()"},
      {"X::operator[](int)", "X::operator[]"},
      {"X::operator->() const", "X::operator->"},
      {"bool operator<(X const&, X const&)", "operator<"},
      {"std::ostream& operator<< <char>(std::ostream&, char)", "operator<<<char>"},
      {"bool operator< <int>(X<int> const&, X<int> const&)", "operator<<int>"},
      {"X::operator<=>(X const&) const", "X::operator<=>"},
      {"X::operator unsigned int() const", "X::operator unsigned int"},
      {"X::operator std::vector<int>() const", "X::operator std::vector<int>"},
      {"operator new(unsigned long)", "operator new"},
      {"operator delete[](void*)", "operator delete[]"},
      {"operator\"\" _s(char const*)", "operator\"\" _s"},
      {"my_operator(int)", "my_operator"},
      {"operators::run(int)", "operators::run"},
      {"legacy::f(int) [clone .cold]", "legacy::f"},
      {"std::__cxx11::to_string[abi:cxx11](int)", "std::__cxx11::to_string[abi:cxx11]"},
      {"decltype (f({parm#1})) g<int>(int)", "g<int>"},
      {"X::~X()", "X::~X"},
      {"", ""},
      {"(", "("},
      {"operator", "operator"},
  };
  for (const auto& [demangled, display] : kCases) EXPECT_EQ(display_name(demangled), display) << demangled;
}

}  // namespace
}  // namespace aiofiber::runtime
