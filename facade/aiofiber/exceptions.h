// SPDX-License-Identifier: Apache-2.0
//
// asyncio's exceptions, and the three that are not ordinary errors.
//
// Ordinary errors derive from std::exception, so that existing code handles them. CancelledError,
// KeyboardInterrupt and SystemExit have no base class. `catch (const std::exception&)` does not catch them,
// as `except Exception` does not in Python.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace aiofiber {

// A cancellation request to the task (asyncio.CancelledError). Let it pass, or clean up and rethrow it. Code
// that swallows it goes on and gets no second CancelledError for the same request.
class CancelledError {
 public:
  CancelledError() noexcept = default;
  // With the text that message() gives. std::bad_alloc.
  explicit CancelledError(std::string message);

  // The text given to cancel(), or empty.
  std::string_view message() const noexcept {
    return message_ ? std::string_view(*message_) : std::string_view();
  }
  bool has_message() const noexcept { return message_ != nullptr; }  // false: made without a text

 private:
  std::shared_ptr<const std::string> message_;  // shared: copying an exception must not throw
};

// SIGINT reached run() (Python's KeyboardInterrupt). Leaves the loop at once.
class KeyboardInterrupt {
 public:
  KeyboardInterrupt() = default;
  // With the text that message() gives.
  explicit KeyboardInterrupt(std::string message) : message_(std::move(message)) {}
  const std::string& message() const noexcept { return message_; }  // the text; empty if there is none

 private:
  std::string message_;
};

// The program wants to end (Python's SystemExit). Leaves the loop at once.
class SystemExit {
 public:
  // `code`: the exit status that the program wants.
  explicit SystemExit(int code = 0) noexcept : code_(code) {}
  // With a text, as sys.exit("text"): the exit status is 1.
  explicit SystemExit(std::string message) : message_(std::move(message)), code_(1) {}
  int code() const noexcept { return code_; }                       // the exit status
  const std::string& message() const noexcept { return message_; }  // the text; empty if there is none

 private:
  std::string message_;
  int code_;
};

// Thrown at the co_yield of an AsyncGenerator that is closed (Python's GeneratorExit). Let it pass.
class GeneratorExit {};

// An operation in a place or state that forbids it: outside a task, on a closed loop, a second time.
class RuntimeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// An argument's value is not allowed.
class ValueError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// An argument's type is not allowed (in the few places where the compiler cannot check it).
class TypeError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// The future's state does not allow the operation (asyncio.InvalidStateError).
class InvalidStateError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// A time limit passed (Python's TimeoutError; thrown by wait_for, timeout, as_completed).
class TimeoutError : public std::runtime_error {
 public:
  TimeoutError() : std::runtime_error("") {}
  using std::runtime_error::runtime_error;
};

// The stream ended before all requested bytes came (asyncio.IncompleteReadError, an EOFError in Python).
class IncompleteReadError : public std::runtime_error {
 public:
  // nullopt: the expected number of bytes is not known, for example in a search for a separator.
  IncompleteReadError(std::string partial, std::optional<std::size_t> expected);
  // The bytes that were read before the end.
  const std::string& partial() const noexcept { return *partial_; }
  // How many bytes were asked for; nullopt: not known.
  std::optional<std::size_t> expected() const noexcept { return expected_; }

 private:
  std::shared_ptr<const std::string> partial_;  // shared: copying an exception must not throw
  std::optional<std::size_t> expected_;
};

// More bytes than the stream's limit came before the separator (asyncio.LimitOverrunError).
class LimitOverrunError : public std::runtime_error {
 public:
  // `consumed`: what consumed() gives, in bytes.
  LimitOverrunError(const std::string& message, std::size_t consumed)
      : std::runtime_error(message), consumed_(consumed) {}
  // The number of bytes in the buffer that cannot belong to a separator.
  std::size_t consumed() const noexcept { return consumed_; }

 private:
  std::size_t consumed_;
};

// get_nowait() of an empty queue.
class QueueEmpty : public std::runtime_error {
 public:
  QueueEmpty() : std::runtime_error("") {}
};
// put_nowait() on a full queue.
class QueueFull : public std::runtime_error {
 public:
  QueueFull() : std::runtime_error("") {}
};
// A put, or a get from an empty queue, after shutdown().
class QueueShutDown : public std::runtime_error {
 public:
  QueueShutDown() : std::runtime_error("") {}
};

// A barrier was reset or aborted while a task waited at it, or before the wait.
class BrokenBarrierError : public RuntimeError {
 public:
  using RuntimeError::RuntimeError;
};

// An exception as Python writes it: `ValueError('boom')`, `CancelledError()`. The program's own types appear
// under their C++ names. An empty pointer gives "None". Of groups in each other it shows 100, then "...".
std::string repr(const std::exception_ptr& exception);
// The last line of a traceback: `ValueError: boom`, or only the type's name if there is no text. Of
// groups in each other it shows ten, as Python does, and then a note.
std::string format_exception(const std::exception_ptr& exception);

namespace detail {
// Whether the exception ends the loop: KeyboardInterrupt and SystemExit.
bool leaves_the_loop(const std::exception_ptr& exception) noexcept;
bool is_cancelled_error(const std::exception_ptr& exception) noexcept;
// A new CancelledError, and an exception_ptr to one. It has no message if the text is empty or memory is
// short.
CancelledError cancelled_error(std::string_view message) noexcept;
std::exception_ptr make_cancelled(std::string_view message) noexcept;
}  // namespace detail

}  // namespace aiofiber
