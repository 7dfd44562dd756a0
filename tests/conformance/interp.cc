// SPDX-License-Identifier: Apache-2.0
//
// Interpreter of random task programs. python/fuzz_interp.py runs the same programs in CPython; the traces
// must agree line by line, so each program checks hundreds of decisions about order that nobody has written
// down.
//
//   conformance_fuzz FILE            runs a program; "-": that of the standard input
//   conformance_fuzz --seed N        runs the program that the generator makes of a seed
//   conformance_fuzz --print-seed N  prints it
//
// A program is a text: "task NAME", one instruction a line, "end"; `main` is run first. The instructions:
//   log TEXT            spawn NAME VAR      fut VAR              set VAR N          fail VAR N
//   cancel VAR MSG      await VAR           sleep MS             gather RE VAR..    wait MODE MS VAR..
//   waitfor MS VAR      shield VAR          put N                get                raise N
//   return N            gspawn NAME (into the innermost group)
//   eset E  eclear E  ewait E               bwait N  breset N  babort N (barrier of N)
//   cwait               cwaitfor N (until N more notifications)      notify N (or all)
//   putnow N  getnow  qdone  qjoin  qshut IMMEDIATE  qnew            ascomp MS VAR..
//   uncancel VAR (or self)                  resched MS (the innermost timeout; -1: never)
//   wfco MS NAME (wait_for of a coroutine)  hcancel H            undone C
// and those that take the next N lines as their block:
//   timeout MS N        try N (an error is traced and swallowed)     tryraise N (traced and passed on)
//   finally N M         group N             lock N               sem N (semaphore of 2)
//   cond N (under the condition's lock)
//   soon H N  later H MS N  at H MS N (as a callback with handle H)  ondone C VAR N (as a done-callback)
//
// Variables are shared by all tasks. A wait that would close a ring of tasks is traced as "cycle" and
// skipped: CPython cannot cancel rings. At the end everything that lives is cancelled in up to 20 rounds,
// then each task is reported. Any subset of the lines that keeps the block counts right is a program, so a
// failing one can be shrunk.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "conf.h"
#include "fuzz_gen.h"

namespace conf {
namespace {

using Value = std::optional<int>;  // what a future or a task of a program holds: a number or None
using Instruction = std::vector<std::string>;
using Code = std::span<const Instruction>;

// The instruction `return`: leaves the whole body, through the blocks in between. A BaseException in Python.
class Return : public PyException {
 public:
  explicit Return(int number) : PyException("Return", number), value(number) {}
  int value;
};

// A variable's content. Tasks and futures are numbered apart, tasks from 0 up and futures from -1 down.
struct Waitable {
  asyncio::Future<Value> future;
  int id = 0;
  bool is_task() const { return id >= 0; }
};

class Machine {
 public:
  explicit Machine(const std::string& program) {
    for (const char* name : {"e0", "e1"}) events_.try_emplace(name);
    barriers_.try_emplace("2", 2);
    barriers_.try_emplace("3", 3);
    queues_.push_back(std::make_unique<Queue>(kQueueSize));
    std::istringstream lines(program);
    std::vector<Instruction>* body = nullptr;
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      const Instruction instruction{std::istream_iterator<std::string>(words), {}};
      if (instruction.empty()) continue;
      if (instruction[0] == "task") {
        body = &bodies_[instruction.at(1)];
      } else if (instruction[0] == "end") {
        body = nullptr;
      } else if (body != nullptr) {
        body->push_back(instruction);
      }
    }
  }

  void main() {
    const auto first = spawn("main", [](auto&&... args) { return asyncio::create_task(args...); });
    asyncio::await(asyncio::wait(list_of(*first), {.timeout = 5s}));
    log("-- cancel what is left");
    for (int round = 0; round < kCancelRounds; ++round) {
      std::vector<asyncio::Task<Value>> live;
      for (const auto& task : tasks_) {
        if (!task.done()) live.push_back(task);
      }
      if (live.empty()) break;
      for (auto& task : live) task.cancel("end" + std::to_string(round));
      asyncio::await(asyncio::wait(live, {.timeout = 1s}));
    }
    for (const auto& task : tasks_) log("report", task.get_name(), st(task), "cancelling", task.cancelling());
    for (const auto& future : futures_) (void)st(future);  // their exceptions count as read
  }

 private:
  static constexpr std::size_t kMostTasks = 60;
  static constexpr int kCancelRounds = 20;

  static constexpr int kMostCoroutines = 60;
  static constexpr int kNoTask = std::numeric_limits<int>::min();

  // One running body or callback.
  struct Frame {
    std::string me;                             // "a.1"
    int id;                                     // the task's number, kNoTask for a callback
    std::vector<asyncio::TaskGroup*> groups{};  // entered and not left, innermost last
    std::vector<asyncio::Timeout*> timeouts{};  // likewise
  };

  using Step = void (Machine::*)(Frame&, const Instruction&);
  using BlockStep = void (Machine::*)(Frame&, const Instruction&, Code inner, Code last);

  static const std::map<std::string_view, Step>& steps() {
    static const std::map<std::string_view, Step> table = {
        {"log", &Machine::do_log},       {"spawn", &Machine::do_spawn},   {"gspawn", &Machine::do_gspawn},
        {"fut", &Machine::do_fut},       {"set", &Machine::do_complete},  {"fail", &Machine::do_complete},
        {"cancel", &Machine::do_cancel}, {"await", &Machine::do_await},   {"sleep", &Machine::do_sleep},
        {"gather", &Machine::do_gather}, {"wait", &Machine::do_wait},     {"waitfor", &Machine::do_waitfor},
        {"shield", &Machine::do_shield}, {"put", &Machine::do_put},       {"get", &Machine::do_get},
        {"raise", &Machine::do_raise},   {"return", &Machine::do_return},
        {"eset", &Machine::do_eset},     {"eclear", &Machine::do_eclear}, {"ewait", &Machine::do_ewait},
        {"cwait", &Machine::do_cwait},   {"cwaitfor", &Machine::do_cwaitfor}, {"notify", &Machine::do_notify},
        {"bwait", &Machine::do_bwait},   {"breset", &Machine::do_breset}, {"babort", &Machine::do_babort},
        {"putnow", &Machine::do_putnow}, {"getnow", &Machine::do_getnow}, {"qdone", &Machine::do_qdone},
        {"qjoin", &Machine::do_qjoin},   {"qshut", &Machine::do_qshut},   {"qnew", &Machine::do_qnew},
        {"ascomp", &Machine::do_ascomp}, {"uncancel", &Machine::do_uncancel}, {"resched", &Machine::do_resched},
        {"wfco", &Machine::do_wfco},     {"hcancel", &Machine::do_hcancel}, {"undone", &Machine::do_undone},
    };
    return table;
  }
  static const std::map<std::string_view, BlockStep>& block_steps() {
    static const std::map<std::string_view, BlockStep> table = {
        {"timeout", &Machine::do_timeout}, {"try", &Machine::do_try},     {"tryraise", &Machine::do_try},
        {"finally", &Machine::do_finally}, {"group", &Machine::do_group}, {"lock", &Machine::do_lock},
        {"sem", &Machine::do_sem},         {"cond", &Machine::do_cond},   {"soon", &Machine::do_soon},
        {"later", &Machine::do_later},     {"at", &Machine::do_at},       {"ondone", &Machine::do_ondone},
    };
    return table;
  }

  static int to_int(const std::string& word) { return std::atoi(word.c_str()); }
  static asyncio::Duration milliseconds(const std::string& word) {
    return std::chrono::milliseconds(to_int(word));
  }
  static asyncio::TimePoint after(const std::string& word) {
    return current_loop().time() + std::chrono::milliseconds(to_int(word));
  }
  static std::optional<asyncio::Duration> limit(const std::string& word) {
    if (to_int(word) < 0) return std::nullopt;
    return milliseconds(word);
  }

  // ---- tasks
  // create(options, function, arguments...) makes the task: create_task, or that of a group.
  template <class Create>
  std::optional<asyncio::Task<Value>> spawn(const std::string& name, Create create) {
    if (tasks_.size() >= kMostTasks) return std::nullopt;
    const int id = static_cast<int>(tasks_.size());
    const std::string label = name + "." + std::to_string(id);
    const auto run_body = [this, label, id, &code = bodies_[name]] { return body({label, id}, code); };
    asyncio::Task<Value> task = create(asyncio::TaskOptions{.name = label}, run_body);
    tasks_.push_back(task);
    return task;
  }

  Value body(Frame frame, Code code) {
    log(frame.me, "start");
    try {
      try {
        block(frame, code);
      } catch (const Return& r) {
        log(frame.me, "return", r.value);
        return r.value;
      }
      log(frame.me, "end");
      return std::nullopt;
    } catch (...) {
      log(frame.me, "out", exc());
      throw;
    }
  }

  void block(Frame& frame, Code code) {
    for (std::size_t i = 0; i < code.size();) {
      const Instruction& instruction = code[i];
      ++i;
      waits_.erase(frame.id);
      if (const auto found = block_steps().find(instruction[0]); found != block_steps().end()) {
        const bool two = instruction[0] == "finally";
        const auto size = static_cast<std::size_t>(to_int(two ? instruction.at(1) : instruction.back()));
        const auto last_size = static_cast<std::size_t>(two ? to_int(instruction.at(2)) : 0);
        const Code inner = take(code, i, size);
        const Code last = take(code, i, last_size);
        (this->*found->second)(frame, instruction, inner, last);
      } else {
        (this->*steps().at(instruction[0]))(frame, instruction);
      }
    }
  }

  // The next `size` instructions, or what is left of them.
  static Code take(Code code, std::size_t& from, std::size_t size) {
    const std::size_t taken = std::min(size, code.size() - from);
    from += taken;
    return code.subspan(from - taken, taken);
  }

  // ---- variables
  const Waitable* variable(const std::string& name) const {
    const auto found = variables_.find(name);
    return found == variables_.end() ? nullptr : &found->second;
  }
  // A copy, because other tasks may set the variable while this one waits; an unset one is traced.
  std::optional<Waitable> get(const Frame& frame, const std::string& name) const {
    if (const Waitable* found = variable(name)) return *found;
    log(frame.me, "unset", name);
    return std::nullopt;
  }

  // Would waiting for the targets close a ring of tasks? If not, notes that this task waits for them.
  bool cycle(const Frame& frame, const std::vector<Waitable>& targets) {
    std::vector<int> ids;
    for (const Waitable& target : targets) ids.push_back(target.id);
    std::set<int> seen;
    for (std::vector<int> todo = ids; !todo.empty();) {
      const int id = todo.back();
      todo.pop_back();
      if (id == frame.id) {
        log(frame.me, "cycle");
        return true;
      }
      if (!seen.insert(id).second) continue;
      if (const auto found = waits_.find(id); found != waits_.end()) {
        todo.insert(todo.end(), found->second.begin(), found->second.end());
      }
      if (const auto found = children_.find(id); found != children_.end()) {
        for (const int child : found->second) {
          if (!tasks_[static_cast<std::size_t>(child)].done()) todo.push_back(child);
        }
      }
    }
    waits_[frame.id] = ids;
    return false;
  }

  static std::vector<asyncio::Future<Value>> futures_of(const std::vector<Waitable>& targets) {
    std::vector<asyncio::Future<Value>> futures;
    for (const Waitable& target : targets) futures.push_back(target.future);
    return futures;
  }

  // ---- simple instructions
  void do_log(Frame& frame, const Instruction& words) { log(frame.me, words.at(1)); }

  void do_spawn(Frame&, const Instruction& words) {
    const int id = static_cast<int>(tasks_.size());
    const auto task = spawn(words.at(1), [](auto&&... args) { return asyncio::create_task(args...); });
    if (task) variables_.insert_or_assign(words.at(2), Waitable{*task, id});
  }

  void do_gspawn(Frame& frame, const Instruction& words) {
    if (frame.groups.empty()) return;
    const int id = static_cast<int>(tasks_.size());
    try {
      const auto create = [&](auto&&... args) { return frame.groups.back()->create_task(args...); };
      if (spawn(words.at(1), create)) children_[frame.id].push_back(id);
    } catch (const asyncio::RuntimeError&) {
      log(frame.me, "group refuses");
    }
  }

  void do_fut(Frame&, const Instruction& words) {
    futures_.push_back(asyncio::get_running_loop().create_future<Value>());
    variables_.insert_or_assign(words.at(1), Waitable{futures_.back(), -static_cast<int>(futures_.size())});
  }

  void do_complete(Frame& frame, const Instruction& words) {
    auto target = get(frame, words.at(1));
    if (!target) return;
    if (target->is_task() || target->future.done()) {
      log(frame.me, words[0], "skipped");
    } else if (words[0] == "set") {
      target->future.set_result(Value(to_int(words.at(2))));
    } else {
      target->future.set_exception(ValueError(to_int(words.at(2))));
    }
  }

  void do_cancel(Frame& frame, const Instruction& words) {
    if (auto target = get(frame, words.at(1))) {
      log(frame.me, "cancel", words[1], target->future.cancel(words.at(2)));
    }
  }

  void do_await(Frame& frame, const Instruction& words) {
    const auto target = get(frame, words.at(1));
    if (!target || cycle(frame, {*target})) return;
    const Value value = asyncio::await(target->future);
    log(frame.me, "got", words[1], value);
  }

  void do_sleep(Frame& frame, const Instruction& words) {
    asyncio::await(asyncio::sleep(milliseconds(words.at(1))));
    log(frame.me, "slept", words[1]);
  }

  void do_gather(Frame& frame, const Instruction& words) {
    std::vector<Waitable> targets;
    for (std::size_t i = 2; i < words.size(); ++i) {
      if (const auto target = get(frame, words[i])) targets.push_back(*target);
    }
    if (cycle(frame, targets)) return;
    if (words[1] == "1") {
      const auto results = asyncio::await(asyncio::gather(asyncio::return_exceptions, futures_of(targets)));
      log(frame.me, "gathered", results);
    } else {
      const auto results = asyncio::await(asyncio::gather(futures_of(targets)));
      log(frame.me, "gathered", results);
    }
  }

  void do_wait(Frame& frame, const Instruction& words) {
    static const std::map<std::string, asyncio::ReturnWhen> modes = {{"all", asyncio::ALL_COMPLETED},
                                                                     {"first", asyncio::FIRST_COMPLETED},
                                                                     {"exc", asyncio::FIRST_EXCEPTION}};
    std::vector<std::string> distinct;
    std::vector<Waitable> targets;
    for (std::size_t i = 3; i < words.size(); ++i) {
      const Waitable* target = variable(words[i]);
      if (target == nullptr || std::find(distinct.begin(), distinct.end(), words[i]) != distinct.end())
        continue;
      distinct.push_back(words[i]);
      targets.push_back(*target);
    }
    if (targets.empty() || cycle(frame, targets)) return;
    const auto result = asyncio::await(
        asyncio::wait(futures_of(targets), {.timeout = limit(words[2]), .return_when = modes.at(words[1])}));
    std::vector<std::string> done;
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const auto& set = result.done;
      if (std::find(set.begin(), set.end(), targets[i].future) != set.end()) done.push_back(distinct[i]);
    }
    log(frame.me, "waited", done);
  }

  void do_waitfor(Frame& frame, const Instruction& words) {
    const auto target = get(frame, words.at(2));
    if (!target || cycle(frame, {*target})) return;
    const Value value = asyncio::await(asyncio::wait_for(target->future, limit(words[1])));
    log(frame.me, "wf", value);
  }

  void do_shield(Frame& frame, const Instruction& words) {
    const auto target = get(frame, words.at(1));
    if (!target || cycle(frame, {*target})) return;
    const Value value = asyncio::await(asyncio::shield(target->future));
    log(frame.me, "shielded", value);
  }

  // ---- event, condition, barrier
  void do_eset(Frame&, const Instruction& words) { event(words).set(); }
  void do_eclear(Frame&, const Instruction& words) { event(words).clear(); }
  void do_ewait(Frame& frame, const Instruction& words) {
    const bool value = asyncio::await(event(words).wait());
    log(frame.me, "event", words[1], value);
  }
  asyncio::Event& event(const Instruction& words) { return events_.at(words.at(1)); }

  void do_cwait(Frame& frame, const Instruction&) {
    const bool value = asyncio::await(condition_.wait());
    log(frame.me, "cond woken", value);
  }

  void do_cwaitfor(Frame& frame, const Instruction& words) {
    const int goal = notified_ + to_int(words.at(1));
    const bool value = asyncio::await(condition_.wait_for([this, goal] { return notified_ >= goal; }));
    log(frame.me, "cond true", value);
  }

  void do_notify(Frame&, const Instruction& words) {
    ++notified_;
    if (words.at(1) == "all") {
      condition_.notify_all();
    } else {
      condition_.notify(static_cast<std::size_t>(to_int(words[1])));
    }
  }

  void do_bwait(Frame& frame, const Instruction& words) {
    std::string index;
    try {
      index = std::to_string(asyncio::await(barrier(words).wait()));
    } catch (const asyncio::CancelledError&) {
      marred_ = true;
      throw;
    }
    // Behind a cancelled party CPython gives an index twice and aiofiber does not: that is decided.
    log(frame.me, "barrier", marred_ ? "-" : index);
  }
  void do_breset(Frame& frame, const Instruction& words) {
    asyncio::await(barrier(words).reset());
    log(frame.me, "barrier reset");
  }
  void do_babort(Frame& frame, const Instruction& words) {
    asyncio::await(barrier(words).abort());
    log(frame.me, "barrier aborted");
  }
  asyncio::Barrier& barrier(const Instruction& words) { return barriers_.at(words.at(1)); }

  // ---- the queue
  using Queue = asyncio::Queue<int>;
  static constexpr int kQueueSize = 2;
  Queue& queue() { return *queues_.back(); }

  void do_put(Frame& frame, const Instruction& words) {
    asyncio::await(queue().put(to_int(words.at(1))));
    log(frame.me, "put", words[1]);
  }

  void do_get(Frame& frame, const Instruction&) {
    const int item = asyncio::await(queue().get());
    log(frame.me, "get", item);
  }

  void do_putnow(Frame&, const Instruction& words) { queue().put_nowait(to_int(words.at(1))); }
  void do_getnow(Frame& frame, const Instruction&) { log(frame.me, "get", queue().get_nowait()); }
  void do_qdone(Frame&, const Instruction&) { queue().task_done(); }
  void do_qjoin(Frame& frame, const Instruction&) {
    asyncio::await(queue().join());
    log(frame.me, "joined");
  }
  void do_qshut(Frame&, const Instruction& words) { queue().shutdown(words.at(1) == "1"); }
  void do_qnew(Frame&, const Instruction&) { queues_.push_back(std::make_unique<Queue>(kQueueSize)); }

  // ---- time limits, coroutines, requests of cancellation
  void do_ascomp(Frame& frame, const Instruction& words) {
    std::vector<Waitable> targets;
    for (std::size_t i = 2; i < words.size(); ++i) {
      if (const Waitable* target = variable(words[i])) targets.push_back(*target);
    }
    if (targets.empty() || cycle(frame, targets)) return;
    // CPython's callbacks and timer stay when the loop below is left early. So does the range here, and the
    // numbers of the passes agree.
    ranges_.push_back(asyncio::as_completed(futures_of(targets), limit(words.at(1))));
    for (auto&& item : ranges_.back()) {
      try {
        const Value value = asyncio::await(std::move(item));
        log(frame.me, "next", value);
      } catch (const std::exception&) {
        log(frame.me, "next raises", exc());
      }
    }
    log(frame.me, "no next");
  }

  void do_uncancel(Frame& frame, const Instruction& words) {
    std::optional<int> id;
    if (words.at(1) == "self") {
      id = frame.id;
    } else if (const auto target = get(frame, words[1])) {
      id = target->id;
    }
    if (id && *id >= 0) log(frame.me, "uncancel", words[1], tasks_[static_cast<std::size_t>(*id)].uncancel());
  }

  void do_resched(Frame& frame, const Instruction& words) {
    if (frame.timeouts.empty()) return;
    std::optional<asyncio::TimePoint> when;
    if (to_int(words.at(1)) >= 0) when = after(words[1]);
    frame.timeouts.back()->reschedule(when);
    log(frame.me, "resched", words[1]);
  }

  void do_wfco(Frame& frame, const Instruction& words) {
    const std::string label = words.at(2) + ".c" + std::to_string(coroutines_++);
    if (coroutines_ > kMostCoroutines) return;
    auto inner = asyncio::coroutine([this, label, id = frame.id, &code = bodies_[words[2]]] {
      return body({label, id}, code);
    });
    const Value value = asyncio::await(asyncio::wait_for(inner(), limit(words.at(1))));
    log(frame.me, "wf", value);
  }

  // ---- callbacks
  void do_hcancel(Frame& frame, const Instruction& words) {
    const auto found = handles_.find(words.at(1));
    if (found == handles_.end()) return;
    log(frame.me, "hcancel", words[1], found->second.cancelled());
    found->second.cancel();
  }

  void do_undone(Frame& frame, const Instruction& words) {
    const auto found = removable_.find(words.at(1));
    if (found == removable_.end()) return;
    const auto& [future, callback] = found->second;
    log(frame.me, "undone", words[1], future.remove_done_callback(callback));
  }

  // The code as a callback; `called`: the words that it begins with.
  auto callback(const Frame& frame, Code code) {
    const std::string label = frame.me + "~" + std::to_string(callbacks_++);
    return [this, label, code](const std::string& called) {
      log(label, called);
      Frame own{label, kNoTask};
      block(own, code);
    };
  }

  void do_raise(Frame&, const Instruction& words) { throw ValueError(to_int(words.at(1))); }
  void do_return(Frame&, const Instruction& words) { throw Return(to_int(words.at(1))); }

  // ---- blocks
  void do_timeout(Frame& frame, const Instruction& words, Code inner, Code) {
    bool expired = false;
    try_finally(
        [&] {
          asyncio::await(asyncio::timeout(milliseconds(words.at(1)), [&](asyncio::Timeout& scope) {
            // Leaving the scope does not suspend: expired() at the end of the body is expired() behind it.
            frame.timeouts.push_back(&scope);
            try_finally([&] { block(frame, inner); },
                        [&] {
                          frame.timeouts.pop_back();
                          expired = scope.expired();
                        });
          }));
        },
        [&] { log(frame.me, "timeout expired", expired); });
  }

  void do_try(Frame& frame, const Instruction& words, Code inner, Code) {
    try {
      block(frame, inner);
    } catch (const Return&) {
      throw;
    } catch (...) {
      log(frame.me, "caught", exc());
      if (words[0] == "tryraise") throw;
    }
  }

  void do_finally(Frame& frame, const Instruction&, Code inner, Code last) {
    try_finally([&] { block(frame, inner); },
                [&] {
                  log(frame.me, "finally");
                  block(frame, last);
                });
  }

  void do_group(Frame& frame, const Instruction&, Code inner, Code) {
    asyncio::await(asyncio::task_group([&](asyncio::TaskGroup& group) {
      frame.groups.push_back(&group);
      try_finally([&] { block(frame, inner); }, [&] { frame.groups.pop_back(); });
    }));
  }

  void do_lock(Frame& frame, const Instruction&, Code inner, Code) {
    asyncio::await(lock_.acquire());
    try_finally(
        [&] {
          log(frame.me, "locked");
          block(frame, inner);
        },
        [&] { lock_.release(); });
    log(frame.me, "unlocked");
  }

  void do_sem(Frame& frame, const Instruction&, Code inner, Code) {
    asyncio::await(semaphore_.acquire());
    try_finally(
        [&] {
          log(frame.me, "sem in");
          block(frame, inner);
        },
        [&] { semaphore_.release(); });
    log(frame.me, "sem out");
  }

  void do_cond(Frame& frame, const Instruction&, Code inner, Code) {
    asyncio::await(condition_.acquire());
    try_finally(
        [&] {
          log(frame.me, "cond in");
          block(frame, inner);
        },
        [&] { condition_.release(); });
    log(frame.me, "cond out");
  }

  void do_soon(Frame& frame, const Instruction& words, Code inner, Code) {
    handles_[words.at(1)] = current_loop().call_soon(callback(frame, inner), "called");
  }
  void do_later(Frame& frame, const Instruction& words, Code inner, Code) {
    const auto delay = milliseconds(words.at(2));
    handles_[words[1]] = current_loop().call_later(delay, callback(frame, inner), "called");
  }
  void do_at(Frame& frame, const Instruction& words, Code inner, Code) {
    const auto when = after(words.at(2));
    handles_[words[1]] = current_loop().call_at(when, callback(frame, inner), "called");
  }

  void do_ondone(Frame& frame, const Instruction& words, Code inner, Code) {
    const auto call = callback(frame, inner);
    const auto target = get(frame, words.at(2));
    if (!target) return;
    const auto done = [call](const asyncio::Future<Value>& future) { call("called " + st(future)); };
    removable_[words.at(1)] = {target->future, target->future.add_done_callback(done)};
  }

  std::map<std::string, std::vector<Instruction>> bodies_;
  std::map<std::string, Waitable> variables_;
  std::vector<asyncio::Task<Value>> tasks_;
  std::vector<asyncio::Future<Value>> futures_;  // keeps every future alive: no reports at destruction
  std::map<int, std::vector<int>> waits_;        // task -> what it waits for
  std::map<int, std::vector<int>> children_;     // task -> tasks of its groups: it will wait for them
  asyncio::Lock lock_;
  asyncio::Semaphore semaphore_{2};
  std::map<std::string, asyncio::Event> events_;
  asyncio::Condition condition_;
  int notified_ = 0;  // how many `notify` ran
  std::map<std::string, asyncio::Barrier> barriers_;
  bool marred_ = false;  // a party of a barrier was cancelled
  std::vector<std::unique_ptr<Queue>> queues_;  // the last one is in use, the others may have waiters
  std::list<asyncio::AsCompleted<Value>> ranges_;
  int coroutines_ = 0;
  int callbacks_ = 0;
  std::map<std::string, asyncio::Handle> handles_;
  std::map<std::string, std::pair<asyncio::Future<Value>, asyncio::CallbackId>> removable_;  // of `ondone`
};

// Reports about destroyed futures depend on when Python collects garbage.
void quiet_handler(asyncio::EventLoop& loop, const asyncio::ExceptionContext& context) {
  if (context.message.find("never retrieved") == std::string::npos &&
      context.message.find("destroyed") == std::string::npos) {
    trace_handler(loop, context);
  }
}

[[noreturn]] void interpret(const std::string& program) {
  Machine machine(program);
  TestLoop& loop = begin_run({.handler = false});
  loop.set_exception_handler(&quiet_handler);
  std::string outcome = "main returned None";
  try {
    loop.run_until_complete([&machine] { machine.main(); });
  } catch (...) {
    outcome = "main raised " + exc();
  }
  log(outcome);
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

}  // namespace
}  // namespace conf

int main(int argc, char** argv) {
  const std::string_view option = argc > 1 ? argv[1] : "";
  if (argc == 2 && !option.starts_with("--")) conf::interpret(conf::read_file(argv[1]));
  if (argc == 3 && option == "--seed")
    conf::interpret(conf::generate_program(std::strtoull(argv[2], nullptr, 10)));
  if (argc == 3 && option == "--print-seed") {
    std::fputs(conf::generate_program(std::strtoull(argv[2], nullptr, 10)).c_str(), stdout);
    return 0;
  }
  std::fprintf(stderr, "usage: conformance_fuzz FILE | --seed N | --print-seed N\n");
  return 2;
}
