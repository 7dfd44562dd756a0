// SPDX-License-Identifier: Apache-2.0
//
// Interpreter of random task programs. python/fuzz_interp.py runs the same programs in CPython. The traces
// must agree line by line, so each program checks hundreds of decisions about order that no document lists.
//
//   conformance_fuzz FILE                 runs a program; "-": the one on the standard input
//   conformance_fuzz --seed N             runs the program that the generator makes from a seed
//   conformance_fuzz --print-seed N       prints it
//   conformance_fuzz --outcomes FILE      also prints the outcomes of each instruction, on the error output
//
// A first argument --bodies=fibers, --bodies=coroutines or --bodies=mixed says what the bodies are: ordinary
// functions in fibers (as without it), C++20 coroutines, or each of them one of the two by a coin that
// depends on the program alone. The trace must be the same.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>

#include "../fuzz_gen.h"
#include "callbacks.h"
#include "flow.h"
#include "locks.h"
#include "machine.h"
#include "shared_queue.h"
#include "streams.h"
#include "tasks.h"

namespace conf {
namespace {

// Reports about destroyed futures depend on when Python collects garbage.
void quiet_handler(asyncio::EventLoop& loop, const asyncio::ExceptionContext& context) {
  if (context.message.find("never retrieved") == std::string::npos &&
      context.message.find("destroyed") == std::string::npos) {
    trace_handler(loop, context);
  }
}

[[noreturn]] void interpret(const std::string& program, Bodies style, bool count_outcomes = false) {
  Machine machine(program, style);
  Tasks tasks(machine);
  Flow flow(machine);
  Locks locks(machine);
  SharedQueue queue(machine);
  Streams streams(machine);
  Callbacks callbacks(machine, tasks);
  if (count_outcomes) machine.count_outcomes();

  TestLoop& loop = begin_run({.handler = false});
  loop.set_exception_handler(&quiet_handler);
  std::string outcome = "main returned None";
  try {
    machine.in_next_style(
        [&](auto main) { loop.run_until_complete([&] { return tasks.run_program(main); }); });
  } catch (...) {
    outcome = "main raised " + exc();
  }
  log(outcome);
  if (count_outcomes) {
    for (const auto& [what, count] : machine.outcomes()) {
      std::fprintf(stderr, "%s %s %d\n", what.first.c_str(), what.second.c_str(), count);
    }
  }
  // Tasks that survived every cancel are left as they are, as python/fuzz_interp.py leaves them.
  std::fflush(stdout);
  std::_Exit(0);
}

std::string read_file(const char* path) {
  if (std::string_view(path) == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
  std::ifstream file(path);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path);
    std::exit(2);
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<Bodies> style_of(std::string_view name) {
  if (name == "fibers") return Bodies::kFibers;
  if (name == "coroutines") return Bodies::kCoroutines;
  if (name == "mixed") return Bodies::kMixed;
  return std::nullopt;
}

std::string program_of_seed(const char* seed) { return generate_program(std::strtoull(seed, nullptr, 10)); }

}  // namespace
}  // namespace conf

int main(int argc, char** argv) {
  std::vector<char*> arguments(argv + 1, argv + argc);
  std::optional style = conf::Bodies::kFibers;
  constexpr std::string_view kBodies = "--bodies=";
  if (!arguments.empty() && std::string_view(arguments[0]).starts_with(kBodies)) {
    style = conf::style_of(std::string_view(arguments[0]).substr(kBodies.size()));
    arguments.erase(arguments.begin());
  }
  const std::size_t count = style ? arguments.size() : 0;
  const std::string_view option = count > 0 ? arguments[0] : "";
  if (count == 1 && !option.starts_with("--")) conf::interpret(conf::read_file(arguments[0]), *style);
  if (count == 2 && option == "--outcomes") conf::interpret(conf::read_file(arguments[1]), *style, true);
  if (count == 2 && option == "--seed") conf::interpret(conf::program_of_seed(arguments[1]), *style);
  if (count == 2 && option == "--print-seed") {
    std::fputs(conf::program_of_seed(arguments[1]).c_str(), stdout);
    return 0;
  }
  std::fprintf(stderr,
               "usage: conformance_fuzz [--bodies=fibers|coroutines|mixed] "
               "FILE | --seed N | --print-seed N | --outcomes FILE\n");
  return 2;
}
