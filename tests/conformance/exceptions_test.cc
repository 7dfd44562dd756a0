// SPDX-License-Identifier: Apache-2.0
//
// exc() and is_ordinary() alone: each exception of the library has Python's name, with the arguments that
// CPython shows. In a trace, an exception that exc() does not know would be distinct, but never equal to
// CPython's text.
#include "exceptions.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace conf {
namespace {

template <class Exception>
std::string text(Exception exception) {
  return exc(std::make_exception_ptr(std::move(exception)));
}
template <class Exception>
bool ordinary(Exception exception) {
  return is_ordinary(std::make_exception_ptr(std::move(exception)));
}

TEST(Exceptions, OfSynchronizationHaveTheirOwnNames) {
  EXPECT_EQ(text(asyncio::BrokenBarrierError("Barrier aborted")), "BrokenBarrierError('Barrier aborted')");
  EXPECT_EQ(text(asyncio::QueueShutDown()), "QueueShutDown()");
  EXPECT_EQ(text(asyncio::QueueEmpty()), "QueueEmpty()");
  EXPECT_EQ(text(asyncio::QueueFull()), "QueueFull()");
}

TEST(Exceptions, OfStreamsHaveTheirOwnNames) {
  EXPECT_EQ(text(asyncio::IncompleteReadError("ab", 5)),
            "IncompleteReadError('2 bytes read on a total of 5 expected bytes')");
  EXPECT_EQ(text(asyncio::LimitOverrunError("too long", 3)), "LimitOverrunError('too long')");
}

TEST(Exceptions, OfFuturesAndTimeHaveTheirOwnNames) {
  EXPECT_EQ(text(asyncio::InvalidStateError("Result is not set.")),
            "InvalidStateError('Result is not set.')");
  EXPECT_EQ(text(asyncio::TimeoutError()), "TimeoutError()");
  EXPECT_EQ(text(asyncio::CancelledError()), "CancelledError()");
  EXPECT_EQ(text(asyncio::CancelledError("")), "CancelledError('')");
  EXPECT_EQ(text(asyncio::CancelledError("m")), "CancelledError('m')");
  EXPECT_EQ(text(asyncio::concurrent::CancelledError()), "CancelledError()");
}

TEST(Exceptions, OfPythonItselfHaveTheirOwnNames) {
  EXPECT_EQ(text(asyncio::RuntimeError("r")), "RuntimeError('r')");
  EXPECT_EQ(text(asyncio::ValueError("v")), "ValueError('v')");
  EXPECT_EQ(text(asyncio::TypeError("t")), "TypeError('t')");
  EXPECT_EQ(text(asyncio::KeyboardInterrupt()), "KeyboardInterrupt()");
  EXPECT_EQ(text(asyncio::SystemExit(3)), "SystemExit(3)");
  EXPECT_EQ(text(asyncio::SystemExit("bye")), "SystemExit('bye')");
}

TEST(Exceptions, OfATestKeepTheTypesOfTheirArguments) {
  EXPECT_EQ(text(ValueError(1)), "ValueError(1)");
  EXPECT_EQ(text(ValueError("1")), "ValueError('1')");
  EXPECT_EQ(text(OSError(2, "nope")), "FileNotFoundError(2, 'nope')");
}

TEST(Exceptions, OfAGroupAreSorted) {
  const std::vector<std::exception_ptr> members{std::make_exception_ptr(ValueError(2)),
                                                std::make_exception_ptr(asyncio::QueueShutDown())};
  EXPECT_EQ(text(asyncio::ExceptionGroup("g", members)),
            "ExceptionGroup('g': QueueShutDown(), ValueError(2))");
}

TEST(Exceptions, NobodyKnowsAreNotTakenForOthers) {
  EXPECT_EQ(text(std::runtime_error("x")), "std::exception('x')");
  EXPECT_EQ(text(5), "(unknown exception)()");
}

TEST(Exceptions, AreOrdinaryWherePythonsDeriveFromException) {
  EXPECT_TRUE(ordinary(asyncio::BrokenBarrierError("b")));
  EXPECT_TRUE(ordinary(asyncio::QueueShutDown()));
  EXPECT_TRUE(ordinary(ValueError(1)));
  EXPECT_FALSE(ordinary(asyncio::CancelledError()));
  EXPECT_FALSE(ordinary(asyncio::KeyboardInterrupt()));
  EXPECT_FALSE(ordinary(asyncio::SystemExit(0)));
  EXPECT_FALSE(ordinary(B("b")));
}

}  // namespace
}  // namespace conf
