// SPDX-License-Identifier: Apache-2.0
//
// print_stack: exception line forms, the traceback after it was read, frame line against throw line;
// looking at another task.
// The twin of python/099_stack_details.py.
//
// The functions are global and not inlined, so that they have frames with plain names. Their last statements
// keep their calls from becoming tail calls.
#include "../conf.h"

#include <sstream>

using namespace std::chrono_literals;

#define FRAME __attribute__((noinline)) static

static volatile int after_the_call = 0;

FRAME void raiser() { throw conf::ValueError("v"); }

static int throw_line = 0;

FRAME void fin() {
  throw_line = __LINE__ + 2;
  try {
    throw conf::ValueError("v");
  } catch (...) {
    after_the_call = 3;  // what Python does in `finally`
    throw;
  }
}

namespace conf {

// The lines except the header and the frames.
static std::vector<std::string> exception_lines(const asyncio::Task<>& t) {
  std::ostringstream text;
  t.print_stack(std::nullopt, &text);
  std::istringstream lines(text.str());
  std::vector<std::string> found;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(" ") && !line.starts_with("Traceback ") && !line.starts_with("No stack ")) {
      found.push_back(scrub(line));
    }
  }
  return found;
}

static std::vector<std::string> functions(const std::vector<asyncio::Frame>& frames) {
  std::vector<std::string> found;
  for (const asyncio::Frame& frame : frames) found.push_back(frame.function);
  return found;
}

template <class E>
static void show(const E& exception) {
  auto t = asyncio::create_task([exception] { throw exception; });
  asyncio::await(asyncio::wait(list_of(t)));
  log(exception_lines(t));
  (void)t.exception();
}

static void cause() {
  try {
    throw KeyError("inner");
  } catch (const KeyError&) {
    throw ValueError("outer");
  }
}

}  // namespace conf

// Asks by itself, so that its frame is the newest one.
FRAME void other(const asyncio::AnyTask& m) {
  const auto of_main = conf::functions(m.get_stack());
  const auto own = conf::functions(asyncio::current_task()->get_stack());
  conf::log("another task looks at main:", of_main, "and at itself:", own.empty() ? "" : own.back());
  after_the_call = 1;
}

FRAME void main_task() {
  using namespace conf;
  using conf::log;  // not the logarithm
  show(ValueError("text"));
  show(ValueError());
  show(KeyError("k"));
  show(ValueError("two\nlines"));
  show(asyncio::InvalidStateError("module is shown"));
  show(asyncio::TimeoutError("t"));
  show(asyncio::ExceptionGroup("g", {std::make_exception_ptr(ValueError(1))}));
  auto t = asyncio::create_task(cause);
  asyncio::await(asyncio::wait(list_of(t)));
  log("the cause is not shown:", exception_lines(t));
  (void)t.exception();
  t = asyncio::create_task(raiser);
  asyncio::await(asyncio::wait(list_of(t)));
  log("unread", functions(t.get_stack()));
  for (const int i : {1, 2}) {
    try {
      asyncio::await(t);
    } catch (const ValueError&) {
      log("after read", i, functions(t.get_stack()), "limit 1", functions(t.get_stack(1)));
    }
  }
  t = asyncio::create_task(fin);
  asyncio::await(asyncio::wait(list_of(t)));
  log("frame line - raise line:", t.get_stack().at(0).line - throw_line);
  (void)t.exception();
  t = asyncio::ensure_future([] { asyncio::await(asyncio::sleep(1s)); });
  asyncio::await(asyncio::sleep(0s));
  t.cancel();
  auto s = asyncio::create_task(asyncio::sleep(1s));
  asyncio::await(asyncio::sleep(0s));
  log("library coroutine", functions(s.get_stack()));
  s.cancel();
  asyncio::await(asyncio::create_task(other, *asyncio::current_task()));
  after_the_call = 2;
}

namespace conf {

SCENARIO(099_stack_details) { run(main_task); }

}  // namespace conf
