// SPDX-License-Identifier: Apache-2.0
//
// The interpreter's core: runs bodies and blocks of a program, one instruction after the other.
//
// It does not know what an instruction does. Each subject (tasks, flow, locks, queue, callbacks) is a class
// that holds the state of its instructions and registers them here by name.
// A body runs in one of two styles: as ordinary functions, which need a fiber, or as C++20 coroutines. What
// may wait exists in both, as two overloads from one source (bodies/bodies.h).
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../conf.h"
#include "program.h"
#include "wait_graph.h"

namespace conf {

// The two styles, as the first argument of what exists in both.
struct Fibers {};
struct Coroutines {};

// In which style the bodies of a program run. kMixed: a coin decides for each body when it starts.
enum class Bodies { kFibers, kCoroutines, kMixed };

// One running body or callback.
struct Frame {
  std::string me;                             // "a.1"
  std::optional<int> task;                    // the number of the task that runs it; none: a callback
  std::vector<asyncio::TaskGroup*> groups{};  // entered and not left, innermost last
  std::vector<asyncio::Timeout*> timeouts{};  // likewise
};

// The instruction `return`: leaves the whole body, through the blocks in between. A BaseException in Python.
class Return : public PyException {
 public:
  explicit Return(int number) : PyException("Return", number), value(number) {}
  int value;
};

class Machine {
 public:
  // An instruction that never waits, and the two forms of one that may.
  template <class Subject>
  using Step = void (Subject::*)(Frame&, const Instruction&);
  template <class Subject>
  struct WaitingStep {
    const char* name;
    void (Subject::*in_fiber)(Fibers, Frame&, const Instruction&);
    asyncio::Coro<> (Subject::*in_coroutine)(Coroutines, Frame&, const Instruction&);
  };

  Machine(const std::string& text, Bodies style);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  template <class Subject>
  void add(Subject& subject, std::initializer_list<std::pair<const char*, Step<Subject>>> steps) {
    for (const auto& [name, step] : steps) steps_[name].call = std::bind_front(step, &subject);
  }
  template <class Subject>
  void add_waiting(Subject& subject, std::initializer_list<WaitingStep<Subject>> steps) {
    for (const auto& step : steps) {
      steps_[step.name] = {std::bind_front(step.in_fiber, &subject, Fibers()),
                           std::bind_front(step.in_coroutine, &subject, Coroutines())};
    }
  }

  // Calls use(style) with the style of the next body.
  template <class Use>
  auto in_next_style(Use use) {
    return next_is_coroutine() ? use(Coroutines()) : use(Fibers());
  }
  // The body as a task or a coroutine runs it: its start, its end and what it raises are traced.
  Value run_body(Fibers, std::string name, Frame frame);
  asyncio::Coro<Value> run_body(Coroutines, std::string name, Frame frame);
  void run(Fibers, Frame& frame, const Code& code);
  asyncio::Coro<> run(Coroutines, Frame& frame, const Code& code);

  WaitGraph& waits() { return waits_; }

  // How the instructions ended, for `--outcomes`: a name and "ok" or an exception -> how often.
  using Outcomes = std::map<std::pair<std::string, std::string>, int>;
  void count_outcomes() { outcomes_.emplace(); }
  const Outcomes& outcomes() const { return outcomes_.value(); }

 private:
  struct AnyStep {
    std::function<void(Frame&, const Instruction&)> call;
    std::function<asyncio::Coro<>(Frame&, const Instruction&)> in_coroutine;  // empty: call() never waits
  };

  bool next_is_coroutine();
  void step(Fibers, Frame& frame, const Instruction& instruction);
  asyncio::Coro<> step(Coroutines, Frame& frame, const Instruction& instruction);

  Program program_;
  Bodies style_;
  std::uint64_t coins_;
  std::map<std::string, AnyStep> steps_;
  WaitGraph waits_;
  std::optional<Outcomes> outcomes_;  // none: they are not counted
};

// Declares both forms of an instruction that may wait.
#define CONF_WAITING(name)                                         \
  void name(Fibers, Frame& frame, const Instruction& instruction); \
  asyncio::Coro<> name(Coroutines, Frame& frame, const Instruction& instruction)

// ---- times of the programs are milliseconds; a limit of -1 is none
using std::chrono::milliseconds;
inline std::optional<asyncio::Duration> limit(int number) {
  if (number < 0) return std::nullopt;
  return milliseconds(number);
}

}  // namespace conf
