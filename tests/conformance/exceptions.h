// SPDX-License-Identifier: Apache-2.0
//
// Exceptions with Python's names. The library has asyncio's own exceptions. The other exceptions of scenarios
// are here, with arguments of any type (ValueError(1) and ValueError('1') are different lines in a trace).
//
//   exc(p)   type and message: ValueError('x'), CancelledError(), ExceptionGroup('m': A, B)
//   exc()    the same for the exception being handled
//
// A class derives from std::exception here if its Python class derives from Exception. KeyboardInterrupt,
// SystemExit, CancelledError and other direct children of BaseException do not.
#pragma once

#include <aiofiber/asyncio.h>

#include <exception>
#include <string>
#include <tuple>
#include <utility>

#include "py.h"

namespace conf {

// The part of a test's exception that knows its text. Not an exception by itself.
class PyException {
 public:
  template <class... Args>
  explicit PyException(std::string name, const Args&... args)
      : repr_(std::move(name) + "(" + py_items(std::forward_as_tuple(args...)) + ")") {}
  virtual ~PyException() = default;

  const std::string& py_repr() const { return repr_; }

 protected:
  PyException(const PyException&) = default;
  PyException& operator=(const PyException&) = default;

 private:
  std::string repr_;
};

class KeyError : public std::exception, public PyException {
 public:
  template <class... Args>
  explicit KeyError(const Args&... args) : PyException("KeyError", args...) {}
  const char* what() const noexcept override { return py_repr().c_str(); }
};

class OSError : public std::exception, public PyException {
 public:
  explicit OSError(const char* message) : PyException("OSError", message), what_(message) {}
  // Python makes OSError(ENOENT, ...) an object of this subclass.
  OSError(int number, const char* message)
      : PyException(number == 2 ? "FileNotFoundError" : "OSError", number, message),
        what_("[Errno " + std::to_string(number) + "] " + message) {}
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
};

class ValueError : public asyncio::ValueError, public PyException {
 public:
  template <class... Args>
  explicit ValueError(const Args&... args)
      : asyncio::ValueError(text(args...)), PyException("ValueError", args...) {}

 private:
  template <class... Args>
  static std::string text(const Args&... args) {
    std::string all;
    ((all += (all.empty() ? "" : " ") + str(args)), ...);
    return all;
  }
};

// class B(BaseException): not an ordinary error, and not one that stops the loop.
class B : public PyException {
 public:
  explicit B(const char* message) : PyException("B", message) {}
};

// exc(const std::exception_ptr&) is declared in py.h.
std::string exc();
// The class's name alone: ValueError.
std::string exc_name(const std::exception_ptr& exception);
// str(exception): the message without the class.
std::string exc_message(const std::exception_ptr& exception);
// isinstance(exception, Exception): does `catch (const std::exception&)` get it?
bool is_ordinary(const std::exception_ptr& exception);

}  // namespace conf
