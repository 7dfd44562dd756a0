// SPDX-License-Identifier: Apache-2.0
//
// asyncio's exceptions, and the three that are outside the family of ordinary errors.
//
// Ordinary errors derive from std::exception, so that code written before aiofiber handles them.
// CancelledError, KeyboardInterrupt and SystemExit have no base class: `catch (const std::exception&)` in
// code that knows nothing of tasks does not swallow them, as `except Exception` does not in Python.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace aiofiber {

// The task is asked to end (asyncio.CancelledError). Let it pass, or finish what must be finished and then
// rethrow; code that swallows it goes on running and is not asked again.
class CancelledError {
 public:
  CancelledError() noexcept = default;
  explicit CancelledError(std::string message)
      : message_(std::make_shared<const std::string>(std::move(message))) {}

  // The text given to cancel(), or empty.
  std::string_view message() const noexcept {
    return message_ ? std::string_view(*message_) : std::string_view();
  }
  bool has_message() const noexcept { return message_ != nullptr; }

 private:
  std::shared_ptr<const std::string> message_;  // shared: copying an exception must not throw
};

// SIGINT reached run() (Python's KeyboardInterrupt). Leaves the loop at once.
class KeyboardInterrupt {
 public:
  KeyboardInterrupt() = default;
  explicit KeyboardInterrupt(std::string message) : message_(std::move(message)) {}
  const std::string& message() const noexcept { return message_; }

 private:
  std::string message_;
};

// The program wants to end (Python's SystemExit). Leaves the loop at once.
class SystemExit {
 public:
  explicit SystemExit(int code = 0) noexcept : code_(code) {}
  explicit SystemExit(std::string message) : message_(std::move(message)), code_(1) {}
  int code() const noexcept { return code_; }
  const std::string& message() const noexcept { return message_; }

 private:
  std::string message_;
  int code_;
};

// Something is used where it cannot be: outside a task, on a closed loop, twice.
class RuntimeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// An argument's value is impossible.
class ValueError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// An argument's kind is impossible (in the few places where the compiler cannot tell).
class TypeError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// A future is asked for what its state does not allow (asyncio.InvalidStateError).
class InvalidStateError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// A time limit passed (Python's TimeoutError, of wait_for, timeout, as_completed).
class TimeoutError : public std::runtime_error {
 public:
  TimeoutError() : std::runtime_error("") {}
  using std::runtime_error::runtime_error;
};

// The end of a stream came before all that was asked for (asyncio.IncompleteReadError, an EOFError in
// Python).
class IncompleteReadError : public std::runtime_error {
 public:
  // nullopt: it is not known how many bytes there should have been, as when a separator was looked for.
  IncompleteReadError(std::string partial, std::optional<std::size_t> expected);
  // What was read before the end.
  const std::string& partial() const noexcept { return *partial_; }
  std::optional<std::size_t> expected() const noexcept { return expected_; }

 private:
  std::shared_ptr<const std::string> partial_;  // shared: copying an exception must not throw
  std::optional<std::size_t> expected_;
};

// More bytes than the stream's limit came before the separator (asyncio.LimitOverrunError).
class LimitOverrunError : public std::runtime_error {
 public:
  LimitOverrunError(const std::string& message, std::size_t consumed)
      : std::runtime_error(message), consumed_(consumed) {}
  // How many bytes of the buffer are surely no part of a separator.
  std::size_t consumed() const noexcept { return consumed_; }

 private:
  std::size_t consumed_;
};

// Queue::get_nowait() of an empty queue; put_nowait() of a full one; any of them after shutdown().
class QueueEmpty : public std::runtime_error {
 public:
  QueueEmpty() : std::runtime_error("") {}
};
class QueueFull : public std::runtime_error {
 public:
  QueueFull() : std::runtime_error("") {}
};
class QueueShutDown : public std::runtime_error {
 public:
  QueueShutDown() : std::runtime_error("") {}
};

// A barrier was reset or aborted while somebody waited at it, or afterwards.
class BrokenBarrierError : public RuntimeError {
 public:
  using RuntimeError::RuntimeError;
};

// How Python would write an exception: `ValueError('boom')`, `CancelledError()`. Types of the program
// appear under their own C++ names. An empty pointer gives "None".
std::string repr(const std::exception_ptr& exception);
// The last line of a traceback: `ValueError: boom`, or the type's name alone when it has no text.
std::string format_exception(const std::exception_ptr& exception);

namespace detail {
// Whether an exception ends the loop that it leaves: KeyboardInterrupt and SystemExit.
bool leaves_the_loop(const std::exception_ptr& exception) noexcept;
bool is_cancelled_error(const std::exception_ptr& exception) noexcept;
// A new CancelledError, and an exception_ptr to one; no message if empty, or if there is no memory for it.
CancelledError cancelled_error(std::string_view message) noexcept;
std::exception_ptr make_cancelled(std::string_view message) noexcept;
}  // namespace detail

}  // namespace aiofiber
