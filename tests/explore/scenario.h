// SPDX-License-Identifier: Apache-2.0
//
// What scenarios are made of. A scenario starts a crew of tasks, waits for all of them, and checks what they
// leave behind. Any task of the crew may be cancelled at any time, or be given a time limit; what the
// scenario checks holds in any case. Its own task is left alone. Times are whole milliseconds.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/asyncio.h"

namespace aiofiber::explored {

using namespace std::chrono_literals;

struct Scenario {
  const char* name;
  void (*run)();
  bool small = false;  // all its orders are run
};

inline void must(bool condition, const char* what) {
  if (!condition) throw std::logic_error(std::string("not so: ") + what);
}

inline void yield() { await(sleep(0s)); }
inline void nap(int milliseconds) { await(sleep(std::chrono::milliseconds(milliseconds))); }

// Inside a section in which at most `most` tasks may be.
class Inside {
 public:
  explicit Inside(int& count, int most = 1) : count_(count) { must(++count <= most, "not too many inside"); }
  ~Inside() { --count_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  int& count_;
};

// A time limit for one task of the crew, set by the test that tries them all.
struct TimeLimit {
  std::size_t task;
  Duration duration;
};
inline std::optional<TimeLimit> time_limit;

// What else the test does, which a scenario may have to know: it cancels tasks, also those that the crew
// makes; it lets time pass while tasks are ready.
inline bool cancels = false;
inline bool slow = false;

struct Ended {
  int values = 0;
  int cancelled = 0;
  int late = 0;  // by time_limit
};

class Crew {
 public:
  explicit Crew(std::vector<std::function<void()>> bodies) {
    largest = std::max(largest, bodies.size());
    for (std::function<void()>& body : bodies) {
      const bool limited = time_limit && time_limit->task == tasks_.size();
      tasks_.push_back(create_task({.name = std::string(1, static_cast<char>('a' + tasks_.size()))},
                                   [body = std::move(body), limited] {
                                     if (limited) {
                                       await(timeout(time_limit->duration, body));
                                     } else {
                                       body();
                                     }
                                   }));
    }
  }
  // They refer to variables of the scenario, so they end before those.
  ~Crew() {
    if (done()) return;
    for (const Task<>& task : tasks_) task.cancel();
    try {
      await(wait(tasks_));
    } catch (const CancelledError&) {
    }
  }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  bool done() const {
    for (const Task<>& task : tasks_) {
      if (!task.done()) return false;
    }
    return true;
  }
  // Waits for all. Throws the error of a task.
  Ended join() {
    await(wait(tasks_));
    Ended ended;
    for (const Task<>& task : tasks_) {
      try {
        task.result();
        ++ended.values;
      } catch (const CancelledError&) {
        ++ended.cancelled;
      } catch (const TimeoutError&) {
        if (!time_limit) throw;
        ++ended.late;
      }
    }
    return ended;
  }
  const Task<>& operator[](std::size_t index) const { return tasks_[index]; }

  static inline std::size_t largest = 0;  // of the crews of this program

 private:
  std::vector<Task<>> tasks_;
};

inline Ended all(std::vector<std::function<void()>> bodies) { return Crew(std::move(bodies)).join(); }

// Whether nobody was cancelled or late.
inline bool undisturbed(const Ended& ended) {
  return !cancels && !slow && ended.cancelled == 0 && ended.late == 0;
}

}  // namespace aiofiber::explored
