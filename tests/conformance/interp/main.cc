// SPDX-License-Identifier: Apache-2.0
//
// Interpreter of random task programs. python/fuzz_interp.py runs the same programs in CPython. The traces
// must agree line by line, so each program checks hundreds of decisions about order that no document lists.
//
//   conformance_fuzz FILE                 runs a program; "-": the one on the standard input
//   conformance_fuzz --seed N             runs the program that the generator makes from a seed
//   conformance_fuzz --print-seed N       prints it
//   conformance_fuzz --outcomes FILE      also prints the outcomes of each instruction, on the error output
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

[[noreturn]] void interpret(const std::string& program, bool count_outcomes = false) {
  Machine machine(program);
  Tasks tasks(machine);
  Flow flow(machine);
  Locks locks(machine);
  SharedQueue queue(machine);
  Callbacks callbacks(machine, tasks);
  if (count_outcomes) machine.count_outcomes();

  TestLoop& loop = begin_run({.handler = false});
  loop.set_exception_handler(&quiet_handler);
  std::string outcome = "main returned None";
  try {
    loop.run_until_complete([&tasks] { tasks.run_program(); });
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

std::string program_of_seed(const char* seed) { return generate_program(std::strtoull(seed, nullptr, 10)); }

}  // namespace
}  // namespace conf

int main(int argc, char** argv) {
  const std::string_view option = argc > 1 ? argv[1] : "";
  if (argc == 2 && !option.starts_with("--")) conf::interpret(conf::read_file(argv[1]));
  if (argc == 3 && option == "--outcomes") conf::interpret(conf::read_file(argv[2]), true);
  if (argc == 3 && option == "--seed") conf::interpret(conf::program_of_seed(argv[2]));
  if (argc == 3 && option == "--print-seed") {
    std::fputs(conf::program_of_seed(argv[2]).c_str(), stdout);
    return 0;
  }
  std::fprintf(stderr, "usage: conformance_fuzz FILE | --seed N | --print-seed N | --outcomes FILE\n");
  return 2;
}
