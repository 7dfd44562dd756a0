// SPDX-License-Identifier: Apache-2.0
//
// Helpers for every scenario of the conformance suite. A scenario is the C++ twin of a Python program of the
// same name in python/: one small file that prints one event per line. CPython must print the same lines
// (expected/). The helpers have the names of python/conf.py, so both texts can be read side by side.
//
//   SCENARIO(001_call_soon_order) { run([] { log("main"); }); }
//
// A trace line is "<virtual time> <event>", or with CONF_ITER=1 "<virtual time> #<pass of the loop> <event>".
// Each scenario runs in its own process, on testing::TestLoop: time stands still until the loop would sleep.
//
// Two rules differ from Python. C++ does not fix the order in which the arguments of a call are evaluated, so
// two arguments with side effects become named variables. And `finally` is try_finally(), because a
// destructor must not await while an exception unwinds.
#pragma once

#include <aiofiber/asyncio.h>
#include <aiofiber/testing.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "exceptions.h"
#include "py.h"

#define SCENARIO(name)                                                            \
  static void scenario_##name();                                                  \
  static const ::conf::Registration registration_##name(#name, &scenario_##name); \
  static void scenario_##name()

namespace conf {

using namespace std::chrono_literals;
using asyncio::testing::TestLoop;

// ---- the table of scenarios
class Registration {
 public:
  Registration(const char* name, void (*body)());
};
const std::vector<std::pair<std::string, void (*)()>>& scenarios();  // sorted by name

// ---- the trace
bool strict();                       // CONF_ITER=1: lines carry the number of the loop's pass
void emit(std::string_view line);    // the bare line
void trace(std::string_view event);  // the line with its stamp; "-.---" before there is a loop

// log(a, b, ...): the parts as str() gives them, joined by blanks. An object, so that it can be handed to
// call_soon.
struct Log {
  template <class... Parts>
  void operator()(const Parts&... parts) const {
    std::string text;
    ((text += (text.empty() ? "" : " ") + str(parts)), ...);
    trace(text);
  }
};
inline constexpr Log log{};

// ---- values
// Functions that return a Coro have the same helpers in conf_coro.h.
namespace detail {
template <class X>
inline constexpr bool is_coro = false;
template <class T>
inline constexpr bool is_coro<asyncio::Coro<T>> = true;
}  // namespace detail
template <class Fn>
inline constexpr bool returns_coro = detail::is_coro<std::invoke_result_t<Fn&>>;

namespace detail {
template <class T>
std::string py_list_item(const T& value) {
  return py(value);
}
template <class... T>
std::string py_list_item(const std::tuple<T...>& tuple) {
  std::string text;
  std::apply([&](const auto&... item) { ((text += (text.empty() ? "" : ", ") + py_list_item(item)), ...); },
             tuple);
  return "[" + text + "]";
}
}  // namespace detail

// What gather() of several arguments gives is a list in Python and a tuple here: it is printed as a list.
struct Verbatim {
  std::string text;
  const std::string& py_repr() const { return text; }
};
template <class... T>
Verbatim as_list(const std::tuple<T...>& tuple) {
  return {detail::py_list_item(tuple)};
}

// The value of a call as py() gives it; None for void.
template <class Fn>
requires(!returns_coro<Fn>) std::string py_result(Fn&& fn) {
  if constexpr (std::is_void_v<std::invoke_result_t<Fn>>) {
    std::forward<Fn>(fn)();
    return "None";
  } else {
    return detail::py_list_item(std::forward<Fn>(fn)());
  }
}

// The state of a future without consuming anything, except that an exception counts as read.
template <class T>
std::string st(const asyncio::Future<T>& future) {
  if (!future.done()) return "pending";
  if (future.cancelled()) return "cancelled";
  if (const auto exception = future.exception()) return "exception=" + exc(exception);
  if constexpr (std::is_void_v<T>) {
    return "result=None";
  } else {
    return "result=" + detail::py_list_item(future.result());
  }
}

// Calls fn and logs its value or its exception.
template <class Fn>
requires(!returns_coro<Fn>) void attempt(std::string_view label, Fn&& fn) {
  std::string outcome;
  try {
    outcome = "-> " + py_result(std::forward<Fn>(fn));
  } catch (...) {
    outcome = "!! " + exc();
  }
  log(label, outcome);
}

// A list of awaitables of one type, which may be move-only: [a, b, c]. Calls that start something belong into
// a braced list instead, whose elements are evaluated from left to right.
template <class First, class... Rest>
std::vector<std::decay_t<First>> list_of(First&& first, Rest&&... rest) {
  std::vector<std::decay_t<First>> items;
  items.push_back(std::forward<First>(first));
  (items.push_back(std::forward<Rest>(rest)), ...);
  return items;
}

// The names of a set of tasks in alphabetical order.
template <class Tasks>
std::vector<std::string> names(const Tasks& tasks) {
  std::vector<std::string> found;
  for (const auto& task : tasks) found.emplace_back(task.get_name());
  std::sort(found.begin(), found.end());
  return found;
}

// What the repr() of a lock says in brackets, without its type and address: "locked, waiters:3]>".
template <class Lock>
std::string lock_state(const Lock& lock) {
  const std::string text = repr(lock);
  return text.substr(text.find(" [") + 2);
}

// ---- control flow
// try: body  finally: last. Both may await. What `last` throws replaces what the body threw.
template <class Body, class Last>
requires(!returns_coro<Body> && !returns_coro<Last>) auto try_finally(Body&& body, Last&& last) {
  const auto guarded = [&] {
    try {
      return body();
    } catch (...) {
      last();
      throw;
    }
  };
  if constexpr (std::is_void_v<decltype(body())>) {
    guarded();
    last();
  } else {
    auto value = guarded();
    last();
    return value;
  }
}

void ticks(int count = 1);  // count times sleep(0)
int cancelling();           // of the current task

// ---- loops
// Replaces addresses in a message by 0xADDR, and places in the source by FILE:LINE.
std::string scrub(const std::string& text);
// The exception handler that prints: HANDLER 'message' keys=... exception=...
void trace_handler(asyncio::EventLoop& loop, const asyncio::ExceptionContext& context);
// Sends the library's log to the trace: "LOG LEVEL line", and never-awaited reports as "WARNING
// RuntimeWarning ...".
void tap_logger();

// The clock of the loop made last stamps the trace; a loop that is gone leaves its last stamp behind.
TestLoop& new_loop();                             // lives until drop_loops(), at the scenario's end
std::unique_ptr<asyncio::EventLoop> make_loop();  // the same for a Runner, which owns its loop
TestLoop& current_loop();
bool current_loop_is_closed();                        // also after its destruction
void drop_loops();                                    // destroys what new_loop() made
void spin(asyncio::EventLoop& loop, int passes = 1);  // exactly so many passes, from outside

// run() calls these before and after main; a template cannot hold static state.
struct RunOptions {
  bool handler = true;
  bool debug = false;
  bool drain = true;
};
TestLoop& begin_run(const RunOptions& options);
void end_run(TestLoop& loop, const RunOptions& options);

// Runs main in a fresh TestLoop, logs how it ended, cancels and names what is left, closes the loop.
template <class Main>
void run(Main&& main, const RunOptions& options = {}) {
  TestLoop& loop = begin_run(options);
  std::string outcome;
  try {
    outcome = "main returned " + py_result([&] { return loop.run_until_complete(std::forward<Main>(main)); });
  } catch (...) {
    outcome = "main raised " + exc();
  }
  log(outcome);
  end_run(loop, options);
}

// ---- threads: threading.Event
class ThreadEvent {
 public:
  void set();
  void wait();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;  // guarded by mutex_
};

}  // namespace conf
