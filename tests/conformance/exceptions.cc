// SPDX-License-Identifier: Apache-2.0
//
// From a C++ exception to its name in Python: one catch clause for each class, derived classes before their
// bases.
#include "exceptions.h"

#include <aiofiber/runtime/engine/clock.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace conf {
namespace {

struct Parts {
  std::string name;
  std::string arguments;  // as Python prints them between the brackets
  std::string message;
};

Parts plain(const char* name, const std::string& what) { return {name, what.empty() ? "" : py(what), what}; }

template <class Group>
Parts group(const char* name, const Group& group) {
  std::vector<std::string> inner;
  for (const auto& exception : group.exceptions()) inner.push_back(exc(exception));
  std::sort(inner.begin(), inner.end());  // siblings may fail in any order
  std::string all;
  for (const std::string& text : inner) all += (all.empty() ? "" : ", ") + text;
  const std::string message(group.message());
  return {name, py(message) + ": " + all, message};
}

Parts describe(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const aiofiber::runtime::Deadlock& e) {
    // The loop would sleep for ever: a wake-up was lost. No event of a trace; it ends the process.
    std::printf("%s\n", e.what());
    std::fflush(stdout);
    std::_Exit(3);
  } catch (const PyException& e) {
    const std::string& repr = e.py_repr();
    const auto open = repr.find('(');
    return {repr.substr(0, open), repr.substr(open + 1, repr.size() - open - 2), repr};
  } catch (const asyncio::CancelledError& e) {
    const std::string message(e.message());
    return {"CancelledError", e.has_message() ? py(message) : "", message};
  } catch (const asyncio::concurrent::CancelledError& e) {
    return plain("CancelledError", e.what());
  } catch (const asyncio::KeyboardInterrupt& e) {
    return plain("KeyboardInterrupt", e.message());
  } catch (const asyncio::SystemExit& e) {
    if (e.message().empty()) return {"SystemExit", py(e.code()), py(e.code())};
    return plain("SystemExit", e.message());
  } catch (const asyncio::ExceptionGroup& e) {
    return group("ExceptionGroup", e);
  } catch (const asyncio::BaseExceptionGroup& e) {
    return group("BaseExceptionGroup", e);
  } catch (const asyncio::InvalidStateError& e) {
    return plain("InvalidStateError", e.what());
  } catch (const asyncio::TimeoutError& e) {
    return plain("TimeoutError", e.what());
  } catch (const asyncio::IncompleteReadError& e) {
    return plain("IncompleteReadError", e.what());
  } catch (const asyncio::LimitOverrunError& e) {
    return plain("LimitOverrunError", e.what());
  } catch (const asyncio::QueueEmpty& e) {
    return plain("QueueEmpty", e.what());
  } catch (const asyncio::QueueFull& e) {
    return plain("QueueFull", e.what());
  } catch (const asyncio::QueueShutDown& e) {
    return plain("QueueShutDown", e.what());
  } catch (const asyncio::BrokenBarrierError& e) {
    return plain("BrokenBarrierError", e.what());
  } catch (const asyncio::RuntimeError& e) {
    return plain("RuntimeError", e.what());
  } catch (const asyncio::ValueError& e) {
    return plain("ValueError", e.what());
  } catch (const asyncio::TypeError& e) {
    return plain("TypeError", e.what());
  } catch (const std::exception& e) {
    return plain("std::exception", e.what());
  } catch (...) {
    return plain("(unknown exception)", "");
  }
}

}  // namespace

std::string exc(const std::exception_ptr& exception) {
  if (!exception) return "None";
  const Parts parts = describe(exception);
  return parts.name + "(" + parts.arguments + ")";
}

std::string exc() { return exc(std::current_exception()); }

std::string exc_name(const std::exception_ptr& exception) { return describe(exception).name; }

std::string exc_message(const std::exception_ptr& exception) { return describe(exception).message; }

bool is_ordinary(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace conf
