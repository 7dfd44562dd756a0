// SPDX-License-Identifier: Apache-2.0
//
// print_stack: header line per state, frame lines, exception line; limit 0; stream argument.
// The twin of python/070_print_stack.py.
//
// The functions are global and not inlined, so that they have frames with plain names. Their last statements
// keep their calls from becoming tail calls.
#include "../conf.h"

#include <iostream>
#include <regex>
#include <sstream>

using namespace std::chrono_literals;

#define FRAME __attribute__((noinline)) static

static volatile int after_the_call = 0;

FRAME void inner(asyncio::Future<> f) {
  asyncio::await(f);
  after_the_call = 1;
}
FRAME void outer(asyncio::Future<> f) {
  inner(f);
  after_the_call = 2;
}
FRAME void deep() { throw conf::ValueError("deep"); }
FRAME void fails() {
  asyncio::await(asyncio::sleep(0s));
  deep();
  after_the_call = 3;
}

namespace conf {

using Limit = std::optional<std::size_t>;

static std::string scrub_frames(const std::string& text) {
  static const std::regex place("File \"[^\"]*\", line [0-9]+");
  return std::regex_replace(scrub(text), place, "File \"FILE\", line LINE");
}

static void show(const char* label, const asyncio::Task<>& t, Limit limit = std::nullopt) {
  std::ostringstream text;
  t.print_stack(limit, &text);
  log("--", label, "limit=" + py(limit));
  std::istringstream lines(text.str());
  for (std::string line; std::getline(lines, line);) log("|" + scrub_frames(line));
}

SCENARIO(070_print_stack) {
  run([] {
    auto& loop = asyncio::get_running_loop();
    auto f = loop.create_future<>();
    auto t = loop.create_task({.name = "T"}, outer, f);
    show("not started", t);
    asyncio::await(asyncio::sleep(0s));
    show("suspended", t);
    show("suspended", t, 0);
    f.set_result();
    asyncio::await(t);
    show("finished", t);
    t = loop.create_task({.name = "F"}, fails);
    asyncio::await(asyncio::wait(list_of(t)));
    show("failed", t);
    show("failed", t, 1);
    show("failed", t, 0);
    t = loop.create_task({.name = "C"}, outer, loop.create_future<>());
    asyncio::await(asyncio::sleep(0s));
    t.cancel();
    show("cancelling", t);
    asyncio::await(asyncio::wait(list_of(t)));
    show("cancelled", t);
    std::ostringstream text;
    std::streambuf* const before = std::cerr.rdbuf(text.rdbuf());
    t.print_stack();
    std::cerr.rdbuf(before);
    const std::string got = scrub_frames(text.str());
    log("default file is sys.stderr:", got.substr(0, got.find('\n')));
  });
}

}  // namespace conf
