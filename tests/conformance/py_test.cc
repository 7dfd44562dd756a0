// SPDX-License-Identifier: Apache-2.0
//
// py() and str() alone, against the texts of CPython's repr() and str(). Traces depend on them: a wrong float
// here would look like a wrong clock in a scenario.
#include "py.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <stdexcept>
#include <vector>

namespace conf {

// Stands in for the one of conf.cc, which needs the library.
std::string exc(const std::exception_ptr& exception) { return exception ? "Error('x')" : "None"; }

namespace {

using namespace std::chrono_literals;

template <class T>
struct FakeResult {
  std::optional<T> held;
  bool has_value() const { return held.has_value(); }
  const T& value() const { return *held; }
  std::exception_ptr exception() const {
    return held ? nullptr : std::make_exception_ptr(std::runtime_error("x"));
  }
};

struct Own {
  std::string py_repr() const { return "<Own>"; }
};

TEST(Py, WritesTheSingletonsWithACapital) {
  EXPECT_EQ(py(true), "True");
  EXPECT_EQ(py(false), "False");
  EXPECT_EQ(py(nullptr), "None");
  EXPECT_EQ(py(std::nullopt), "None");
  EXPECT_EQ(py(std::monostate{}), "None");
}

TEST(Py, WritesIntegersOfEverySize) {
  EXPECT_EQ(py(0), "0");
  EXPECT_EQ(py(-7), "-7");
  EXPECT_EQ(py(std::numeric_limits<std::uint64_t>::max()), "18446744073709551615");
}

TEST(Py, WritesFloatsAsTheShortestTextThatReadsBack) {
  EXPECT_EQ(py(0.0), "0.0");
  EXPECT_EQ(py(-0.0), "-0.0");
  EXPECT_EQ(py(0.1), "0.1");
  EXPECT_EQ(py(5.1), "5.1");
  EXPECT_EQ(py(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(py(5.01), "5.01");
  EXPECT_EQ(py(100.0), "100.0");
  EXPECT_EQ(py(-12.5), "-12.5");
  EXPECT_EQ(py(123456789012345.0), "123456789012345.0");
}

TEST(Py, ChangesTheNotationOfFloatsWherePythonDoes) {
  EXPECT_EQ(py(0.0001), "0.0001");
  EXPECT_EQ(py(0.00001), "1e-05");
  EXPECT_EQ(py(1e15), "1000000000000000.0");
  EXPECT_EQ(py(1e16), "1e+16");
  EXPECT_EQ(py(1.5e-300), "1.5e-300");
  EXPECT_EQ(py(std::numeric_limits<double>::infinity()), "inf");
  EXPECT_EQ(py(-std::numeric_limits<double>::infinity()), "-inf");
  EXPECT_EQ(py(std::numeric_limits<double>::quiet_NaN()), "nan");
}

TEST(Py, ChoosesTheQuotesOfAString) {
  EXPECT_EQ(py("plain"), "'plain'");
  EXPECT_EQ(py(std::string("it's")), "\"it's\"");
  EXPECT_EQ(py(std::string_view("say \"hi\"")), "'say \"hi\"'");
  EXPECT_EQ(py("both ' and \""), "'both \\' and \"'");
  EXPECT_EQ(py(""), "''");
}

TEST(Py, EscapesWhatCannotBePrinted) {
  EXPECT_EQ(py("a\nb\tc\rd\\e"), "'a\\nb\\tc\\rd\\\\e'");
  EXPECT_EQ(py(std::string("\x01\x7f", 2)), "'\\x01\\x7f'");
  EXPECT_EQ(py("\xc3\xa4"), "'\xc3\xa4'");
}

TEST(Py, NestsListsAndTuples) {
  EXPECT_EQ(py(std::vector<int>{}), "[]");
  EXPECT_EQ(py(std::vector<bool>{true, false}), "[True, False]");
  EXPECT_EQ(py(std::vector<std::string>{"a", "it's"}), "['a', \"it's\"]");
  EXPECT_EQ(py(std::tuple<>{}), "()");
  EXPECT_EQ(py(std::tuple(1)), "(1,)");
  EXPECT_EQ(py(std::pair<std::string, int>("k", 2)), "('k', 2)");
  EXPECT_EQ(py(std::tuple(std::vector{1, 2}, std::string("x"), true)), "([1, 2], 'x', True)");
}

TEST(Py, WritesAnOptionalAsItsValueOrNone) {
  EXPECT_EQ(py(std::optional<int>()), "None");
  EXPECT_EQ(py(std::optional<std::string>("v")), "'v'");
}

TEST(Py, WritesATimeInSeconds) {
  using Time = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;
  EXPECT_EQ(py(Time(100ms)), "0.1");
  EXPECT_EQ(py(Time(5s + 10ms)), "5.01");
  EXPECT_EQ(py(Time(0s)), "0.0");
  EXPECT_EQ(py(Time(300ms + 1ns)), "0.300000001");
}

TEST(Py, WritesAnOutcomeAsItsValueOrAsTheQuotedError) {
  EXPECT_EQ(py(FakeResult<int>{2}), "2");
  EXPECT_EQ(py(FakeResult<int>{}), "\"Error('x')\"");
  EXPECT_EQ(py(std::vector{FakeResult<int>{1}, FakeResult<int>{}}), "[1, \"Error('x')\"]");
}

TEST(Py, LetsATypeRenderItself) {
  EXPECT_EQ(py(Own{}), "<Own>");
  EXPECT_EQ(py(std::vector<Own>(2)), "[<Own>, <Own>]");
}

TEST(Str, LeavesAStringBareButQuotesItInsideAList) {
  EXPECT_EQ(str("text"), "text");
  EXPECT_EQ(str(std::string("it's")), "it's");
  EXPECT_EQ(str(1.5), "1.5");
  EXPECT_EQ(str(std::vector<std::string>{"a"}), "['a']");
  EXPECT_EQ(str(Own{}), "<Own>");
}

}  // namespace
}  // namespace conf
