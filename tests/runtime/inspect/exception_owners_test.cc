// SPDX-License-Identifier: Apache-2.0
//
// Labels: threads
//
// An exception whose last owner is another thread than its readers, for ThreadSanitizer: nothing but the
// exception's own count orders the readers before the destruction.
#include <aiofiber/runtime/inspect/throw_trace.h>

#include <gtest/gtest.h>

#include <atomic>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace aiofiber::runtime {
namespace {

// Gives `reader` an exception, and lets another thread that owns it, too, let go of it as the last one.
void outlive(const std::function<void(std::exception_ptr)>& reader) {
  std::exception_ptr exception;
  try {
    throw std::runtime_error("far away");
  } catch (const std::runtime_error&) {
    exception = std::current_exception();
  }
  std::atomic<bool> read = false;
  std::thread last([&read, owned = exception]() mutable {
    while (!read.load(std::memory_order_relaxed)) std::this_thread::yield();  // orders nothing
    owned = nullptr;
  });
  reader(std::exchange(exception, nullptr));
  read.store(true, std::memory_order_relaxed);
  last.join();
}

TEST(ExceptionOwners, MayReadTheTraceBeforeAnotherOneDestroysIt) {
  std::size_t frames = 0;
  outlive([&](const std::exception_ptr& exception) {
    for (const auto address : throw_trace(exception)) frames += address != 0;
  });
  EXPECT_GT(frames, 0u);
}

TEST(ExceptionOwners, MayHandleItBeforeAnotherOneDestroysIt) {
  std::string what;
  outlive([&](std::exception_ptr exception) {
    try {
      std::rethrow_exception(std::exchange(exception, nullptr));
    } catch (const std::exception& error) {
      what = error.what();
    }
  });
  EXPECT_EQ(what, "far away");
}

TEST(ExceptionOwners, MayThrowItOnBeforeAnotherOneDestroysIt) {
  std::string what;
  outlive([&](std::exception_ptr exception) {
    try {
      try {
        std::rethrow_exception(std::exchange(exception, nullptr));
      } catch (...) {
        throw;
      }
    } catch (const std::exception& error) {
      what = error.what();
    }
  });
  EXPECT_EQ(what, "far away");
}

}  // namespace
}  // namespace aiofiber::runtime
