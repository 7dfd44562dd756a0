// SPDX-License-Identifier: Apache-2.0
//
// Does explore() find bugs? Small locks, queues and scopes, written for this test, each with bugs that can be
// planted one at a time. Those of libraries and of users are here, most of them once real ones somewhere.
// Without a bug all scenarios pass; with one, a schedule fails soon. A bug that survives fails the test.
// Labels: slow
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "aiofiber/explore.h"
#include "explore/scenario.h"
#include "support/keep_books.h"

namespace aiofiber::explored {
namespace {

enum class Bug {
  kNone,
  // a lock
  kCancelledWaiterKeepsTheWakeUp,
  kNewcomerOvertakesTheWoken,
  kTwoAreWoken,
  kWrongWaiterLeaves,
  kCancelledWaiterStaysInFront,
  kLockIsGivenToACancelledTask,
  // a semaphore
  kTokenOfACancelledTaskIsLost,
  kTokenIsGivenBackTwice,
  kOnePlaceTooMany,
  // an event
  kWaiterLooksAtTheFlagAgain,
  kSetWakesOne,
  // a condition
  kNotificationIsLost,
  kCancelledWaiterDoesNotLockAgain,
  kPredicateIsCheckedOnce,
  // a queue
  kItemOfACancelledGetterIsLost,
  kOnlyTheFirstItemWakes,
  kGetterDoesNotPassOn,
  // time limits
  kStaleTimer,
  kUncancelIsForgotten,
  kOuterCancellationIsSwallowed,
  // several tasks
  kGroupCountsOneTooFew,
  kResultsInOrderOfCompletion,
  kBarrierForgetsWhoIsInside,
  // users' own
  kReadWaitWrite,
  kMadeTwice,
  kLocksInOppositeOrders,
  kCheckedBeforeTheWait,
};

Bug planted = Bug::kNone;
bool has(Bug bug) { return planted == bug; }

// Waiting tasks, first come, first served.
class Waiters {
 public:
  bool empty() const { return waiting_.empty(); }
  // Waits for wake_one(). A cancelled one leaves, and `pass_on` is called if it had been woken.
  template <class PassOn>
  void wait(PassOn pass_on) {
    const Future<> wake = get_running_loop().create_future<>();
    waiting_.push_back(wake);
    try {
      await(shield(wake));  // cancel() leaves the future as it is: woken or not
    } catch (const CancelledError&) {
      const bool woken = wake.done();
      if (!has(Bug::kCancelledWaiterStaysInFront)) leave(wake);
      if (woken) pass_on();
      throw;
    }
    leave(wake);
  }
  // False: nobody waits.
  bool wake_one() {
    for (const Future<>& wake : waiting_) {
      if (wake.done()) continue;
      wake.set_result();
      return true;
    }
    return false;
  }
  void wake_all() {
    while (wake_one()) {
    }
  }

 private:
  void leave(const Future<>& wake) {
    if (has(Bug::kWrongWaiterLeaves)) {
      waiting_.pop_front();
    } else {
      waiting_.erase(std::find(waiting_.begin(), waiting_.end(), wake));
    }
  }
  std::deque<Future<>> waiting_;
};

class MiniLock {
 public:
  void lock() {
    if (!locked_ && (waiters_.empty() || has(Bug::kNewcomerOvertakesTheWoken))) {
      locked_ = true;
      return;
    }
    waiters_.wait([this] {
      if (has(Bug::kCancelledWaiterKeepsTheWakeUp) || has(Bug::kLockIsGivenToACancelledTask)) return;
      waiters_.wake_one();
    });
    locked_ = true;
  }
  void unlock() {
    locked_ = has(Bug::kLockIsGivenToACancelledTask) && !waiters_.empty();
    waiters_.wake_one();
    if (has(Bug::kTwoAreWoken)) waiters_.wake_one();
  }
  bool locked() const { return locked_; }

 private:
  bool locked_ = false;
  Waiters waiters_;
};

void lock_of_three() {
  MiniLock lock;
  int inside = 0;
  const auto worker = [&] {
    const std::unique_lock guard(lock);
    const Inside here(inside);
    yield();
  };
  all({worker, worker, worker});
  must(!lock.locked(), "the lock is free");
}

class MiniSemaphore {
 public:
  explicit MiniSemaphore(int value) : value_(value) {}
  void lock() {
    if (value_ > (has(Bug::kOnePlaceTooMany) ? -1 : 0) && waiters_.empty()) {
      --value_;
      return;
    }
    waiters_.wait([this] {
      if (!has(Bug::kTokenOfACancelledTaskIsLost)) unlock();
      if (has(Bug::kTokenIsGivenBackTwice)) unlock();
    });
  }
  // The token goes to the first waiter, or back.
  void unlock() {
    if (!waiters_.wake_one()) ++value_;
  }
  int value() const { return value_; }

 private:
  int value_;
  Waiters waiters_;
};

void semaphore_of_four() {
  MiniSemaphore semaphore(2);
  int inside = 0;
  const auto worker = [&] {
    const std::unique_lock guard(semaphore);
    const Inside here(inside, 2);
    yield();
  };
  all({worker, worker, worker, worker});
  must(semaphore.value() == 2, "both places are free");
}

class MiniEvent {
 public:
  void wait() {
    while (!set_) {
      waiters_.wait([] {});
      if (!has(Bug::kWaiterLooksAtTheFlagAgain)) return;
    }
  }
  void set() {
    set_ = true;
    if (has(Bug::kSetWakesOne)) {
      waiters_.wake_one();
    } else {
      waiters_.wake_all();
    }
  }
  void clear() { set_ = false; }

 private:
  bool set_ = false;
  Waiters waiters_;
};

void event_set_and_cleared() {
  MiniEvent event;
  int waiting = 0;
  const auto waiter = [&] {
    ++waiting;
    event.wait();
  };
  Crew crew({waiter, waiter});
  while (waiting < 2) yield();
  event.set();
  event.clear();
  crew.join();
}

class MiniCondition {
 public:
  void lock() { lock_.lock(); }
  // Called by destructors: an error in the order of the calls is to be found by who is inside.
  void unlock() {
    if (lock_.locked()) lock_.unlock();
  }
  void wait() {
    lock_.unlock();
    const auto pass_on = [this] {
      if (!has(Bug::kNotificationIsLost)) waiters_.wake_one();
    };
    bool cancelled = false;
    try {
      waiters_.wait(pass_on);
    } catch (const CancelledError&) {
      if (has(Bug::kCancelledWaiterDoesNotLockAgain)) throw;
      cancelled = true;
    }
    while (!lock_again()) {
      if (!std::exchange(cancelled, true)) pass_on();
    }
    if (cancelled) throw CancelledError();
  }
  void notify() { waiters_.wake_one(); }
  void notify_all() { waiters_.wake_all(); }
  bool locked() const { return lock_.locked(); }

 private:
  // False: cancelled.
  bool lock_again() {
    try {
      lock_.lock();
      return true;
    } catch (const CancelledError&) {
      return false;
    }
  }

  Lock lock_;
  Waiters waiters_;
};

void condition_of_consumers() {
  MiniCondition condition;
  int items = 0;
  const auto consumer = [&] {
    const std::unique_lock guard(condition);
    if (has(Bug::kPredicateIsCheckedOnce)) {
      if (items == 0) condition.wait();
    } else {
      while (items == 0) condition.wait();
    }
    must(--items >= 0, "there was an item");
  };
  Crew crew({consumer, consumer, consumer});
  for (int i = 0; i < 3; ++i) {
    yield();
    const std::unique_lock guard(condition);
    ++items;
    condition.notify();
  }
  crew.join();
  must(!condition.locked(), "the lock is free");
}

void condition_with_more_consumers_than_items() {
  MiniCondition condition;
  int items = 0;
  int inside = 0;
  const auto consumer = [&] {
    const std::unique_lock guard(condition);
    while (items == 0) condition.wait();
    --items;
    const Inside here(inside);
    yield();
  };
  const auto produce = [&] {
    const std::unique_lock guard(condition);
    ++items;
    condition.notify();
  };
  Crew crew({consumer, consumer, consumer});
  yield();
  produce();
  produce();
  nap(1);
  must(items == 0 || crew.done(), "nobody waits beside an item");
  produce();
  crew.join();
}

class MiniQueue {
 public:
  void put(int item) {
    const bool was_empty = items_.empty();
    items_.push_back(item);
    if (was_empty || !has(Bug::kOnlyTheFirstItemWakes)) getters_.wake_one();
  }
  int get() {
    while (items_.empty()) {
      getters_.wait([this] {
        if (has(Bug::kItemOfACancelledGetterIsLost)) items_.pop_front();
        if (!items_.empty() && !has(Bug::kGetterDoesNotPassOn)) getters_.wake_one();
      });
    }
    const int item = items_.front();
    items_.pop_front();
    return item;
  }
  std::size_t size() const { return items_.size(); }

 private:
  std::deque<int> items_;
  Waiters getters_;
};

void queue_of_three() {
  MiniQueue queue;
  std::size_t got = 0;
  const auto getter = [&] {
    queue.get();
    ++got;
  };
  Crew crew({getter, getter, getter});
  yield();
  for (int i = 0; i < 3; ++i) queue.put(i);
  crew.join();
  must(got + queue.size() == 3, "no item is lost");
}

void queue_with_more_getters_than_items() {
  MiniQueue queue;
  const auto getter = [&] { queue.get(); };
  Crew crew({getter, getter});
  yield();
  queue.put(0);
  nap(1);
  must(queue.size() == 0 || crew.done(), "nobody waits beside an item");
  queue.put(1);
  crew.join();
}

// Runs the body, and cancels it when the time is over.
template <class Body>
void mini_timeout(Duration duration, Body body) {
  const AnyTask self = *current_task();
  const int before = self.cancelling();
  const auto expired = std::make_shared<bool>(false);
  TimerHandle timer = get_running_loop().call_later(duration, [expired, self] {
    self.cancel();
    *expired = true;
  });
  try {
    body();
  } catch (const CancelledError&) {
    timer.cancel();
    if (!*expired) throw;
    const int left = has(Bug::kUncancelIsForgotten) ? self.cancelling() - 1 : self.uncancel();
    if (left > before && !has(Bug::kOuterCancellationIsSwallowed)) throw;
    throw TimeoutError();
  }
  if (!has(Bug::kStaleTimer)) timer.cancel();
}

void time_limit_of_one() {
  const auto worker = [] {
    try {
      mini_timeout(2ms, [] { nap(1); });
      mini_timeout(2ms, [] { nap(2); });
    } catch (const TimeoutError&) {
    }
    must(current_task()->cancelling() == 0, "no request is left");
    nap(3);
  };
  const Task<> task = create_task(worker);
  await(wait(std::vector{task}));
  must(!task.cancelled(), "only the limit cancels");
  must(task.exception() == nullptr, "it ends well");
}

void time_limit_and_cancellation() {
  const Task<> task = create_task([] { mini_timeout(2ms, [] { nap(9); }); });
  Task<> other = create_task([&task] {
    nap(2);
    task.cancel();
  });
  await(wait(std::vector{task, other}));
  // Cancelled from outside, it may not end as if it had only been late.
  if (task.cancelled()) return;
  must(task.exception() != nullptr, "it is late");
  must(task.cancelling() == 0, "a request from outside is not taken for the limit");
}

class MiniGroup {
 public:
  template <class F>
  void start(F fn) {
    ++running_;
    create_task([this, fn] {
      fn();
      --running_;
      if (running_ == 0 && end_.valid() && !end_.done()) end_.set_result();
    }).detach();
  }
  void join() {
    if (running_ <= (has(Bug::kGroupCountsOneTooFew) ? 1 : 0)) return;
    end_ = get_running_loop().create_future<>();
    await(end_);
  }

 private:
  int running_ = 0;
  Future<> end_;
};

void group_of_two() {
  int finished = 0;
  auto group = std::make_shared<MiniGroup>();
  for (int i = 0; i < 2; ++i) {
    group->start([&finished, group] {
      yield();
      ++finished;
    });
  }
  yield();
  yield();
  group->join();
  const int at_end = finished;
  nap(1);
  must(at_end == 2, "join() waits for both");
}

void results_of_two() {
  std::vector<int> results(2);
  std::size_t next = 0;
  const auto worker = [&](int number) {
    return [&, number] {
      yield();
      results[has(Bug::kResultsInOrderOfCompletion) ? next++ : static_cast<std::size_t>(number)] = number;
    };
  };
  all({worker(0), worker(1)});
  must(results == std::vector{0, 1}, "each result in its place");
}

class MiniBarrier {
 public:
  explicit MiniBarrier(int parties) : parties_(parties) {}
  void wait() {
    const int round = round_;
    if (++count_ == parties_) {
      if (!has(Bug::kBarrierForgetsWhoIsInside)) count_ = 0;
      ++round_;
      waiters_.wake_all();
    } else {
      while (round == round_) waiters_.wait([] {});
    }
    if (has(Bug::kBarrierForgetsWhoIsInside)) --count_;  // so the first to come back meets the last
  }

 private:
  int parties_;
  int count_ = 0;
  int round_ = 0;
  Waiters waiters_;
};

void barrier_of_two_rounds() {
  MiniBarrier barrier(2);
  const auto worker = [&] {
    barrier.wait();
    barrier.wait();
  };
  all({worker, worker});
}

void counter_of_two() {
  int counter = 0;
  const auto worker = [&] {
    const int read = counter;
    if (has(Bug::kReadWaitWrite)) yield();
    counter = read + 1;
    yield();
  };
  const Ended ended = all({worker, worker});
  must(counter == ended.values, "each is counted");
}

void made_on_demand() {
  int made = 0;
  bool is_made = false;
  Lock lock;
  const auto get = [&] {
    if (is_made) return;
    std::unique_lock<Lock> guard;
    if (!has(Bug::kMadeTwice)) guard = std::unique_lock(lock);
    if (is_made) return;
    nap(1);
    ++made;
    is_made = true;
  };
  all({get, [&] {
         nap(1);
         get();
       }});
  must(made == 1, "it is made once");
}

void two_locks() {
  MiniLock first;
  MiniLock second;
  const auto worker = [](MiniLock& a, MiniLock& b) {
    return [&a, &b] {
      const std::unique_lock outer(a);
      yield();
      const std::unique_lock inner(b);
    };
  };
  const bool opposite = has(Bug::kLocksInOppositeOrders);
  all({worker(first, second), opposite ? worker(second, first) : worker(first, second)});
}

void account() {
  int money = 1;
  const auto pay = [&] {
    if (money == 0) return;
    if (has(Bug::kCheckedBeforeTheWait)) yield();
    must(--money >= 0, "money is not spent twice");
  };
  all({pay, pay, pay});
}

struct Mutant {
  Bug bug;
  const char* name;
  void (*scenario)();
  testing::Cancellation cancel = testing::Cancellation::NONE;
};

constexpr testing::Cancellation kOnce = testing::Cancellation::ONCE;

const Mutant kMutants[] = {
    {Bug::kCancelledWaiterKeepsTheWakeUp, "CancelledWaiterKeepsTheWakeUp", lock_of_three, kOnce},
    {Bug::kNewcomerOvertakesTheWoken, "NewcomerOvertakesTheWoken", lock_of_three},
    {Bug::kTwoAreWoken, "TwoAreWoken", lock_of_three},
    {Bug::kWrongWaiterLeaves, "WrongWaiterLeaves", lock_of_three, kOnce},
    {Bug::kCancelledWaiterStaysInFront, "CancelledWaiterStaysInFront", lock_of_three, kOnce},
    {Bug::kLockIsGivenToACancelledTask, "LockIsGivenToACancelledTask", lock_of_three, kOnce},
    {Bug::kTokenOfACancelledTaskIsLost, "TokenOfACancelledTaskIsLost", semaphore_of_four, kOnce},
    {Bug::kTokenIsGivenBackTwice, "TokenIsGivenBackTwice", semaphore_of_four, kOnce},
    {Bug::kOnePlaceTooMany, "OnePlaceTooMany", semaphore_of_four},
    {Bug::kWaiterLooksAtTheFlagAgain, "WaiterLooksAtTheFlagAgain", event_set_and_cleared},
    {Bug::kSetWakesOne, "SetWakesOne", event_set_and_cleared},
    {Bug::kNotificationIsLost, "NotificationIsLost", condition_with_more_consumers_than_items, kOnce},
    {Bug::kCancelledWaiterDoesNotLockAgain, "CancelledWaiterDoesNotLockAgain",
     condition_with_more_consumers_than_items, kOnce},
    {Bug::kPredicateIsCheckedOnce, "PredicateIsCheckedOnce", condition_of_consumers},
    {Bug::kItemOfACancelledGetterIsLost, "ItemOfACancelledGetterIsLost", queue_of_three, kOnce},
    {Bug::kOnlyTheFirstItemWakes, "OnlyTheFirstItemWakes", queue_of_three},
    {Bug::kGetterDoesNotPassOn, "GetterDoesNotPassOn", queue_with_more_getters_than_items, kOnce},
    {Bug::kStaleTimer, "StaleTimer", time_limit_of_one},
    {Bug::kUncancelIsForgotten, "UncancelIsForgotten", time_limit_of_one},
    {Bug::kOuterCancellationIsSwallowed, "OuterCancellationIsSwallowed", time_limit_and_cancellation},
    {Bug::kGroupCountsOneTooFew, "GroupCountsOneTooFew", group_of_two},
    {Bug::kResultsInOrderOfCompletion, "ResultsInOrderOfCompletion", results_of_two},
    {Bug::kBarrierForgetsWhoIsInside, "BarrierForgetsWhoIsInside", barrier_of_two_rounds},
    {Bug::kReadWaitWrite, "ReadWaitWrite", counter_of_two},
    {Bug::kMadeTwice, "MadeTwice", made_on_demand},
    {Bug::kLocksInOppositeOrders, "LocksInOppositeOrders", two_locks},
    {Bug::kCheckedBeforeTheWait, "CheckedBeforeTheWait", account},
};

// The number of runs until a bug is found; 0: it is not.
std::size_t runs_until_found(const Mutant& mutant, testing::ExploreOptions options) {
  options.cancel = mutant.cancel;
  planted = mutant.bug;
  std::size_t runs = 0;
  try {
    testing::explore(mutant.scenario, options);
  } catch (const testing::ScheduleFailed& failed) {
    runs = failed.schedules();
  }
  planted = Bug::kNone;
  return runs;
}

class Mutants : public ::testing::TestWithParam<testing::Strategy> {};

TEST_P(Mutants, AreFound) {
  constexpr std::size_t kMost = 20'000;
  std::vector<std::size_t> runs;
  for (const Mutant& mutant : kMutants) {
    // With cancellations, a schedule is run once for each step and task: fifty times or more.
    const std::size_t schedules = mutant.cancel == testing::Cancellation::NONE ? kMost : kMost / 50;
    const std::size_t found = runs_until_found(mutant, {.schedules = schedules, .strategy = GetParam()});
    // Its order needs more changes of priority than the two of PCT.
    const bool too_deep = GetParam() == testing::PCT && mutant.bug == Bug::kNewcomerOvertakesTheWoken;
    EXPECT_TRUE(found > 0 || too_deep) << mutant.name << " survives";
    EXPECT_LE(found, kMost) << mutant.name;
    runs.push_back(found);
  }
  std::sort(runs.begin(), runs.end());
  const std::size_t median = runs[runs.size() / 2];
  EXPECT_LE(median, 500u);
  std::cout << "mutants killed: "
            << runs.size() - static_cast<std::size_t>(std::count(runs.begin(), runs.end(), 0u)) << " of "
            << runs.size() << "; runs until found: median " << median << ", most " << runs.back() << "\n";
}

INSTANTIATE_TEST_SUITE_P(Random, Mutants, ::testing::Values(testing::RANDOM));
INSTANTIATE_TEST_SUITE_P(Pct, Mutants, ::testing::Values(testing::PCT));

// Otherwise a scenario that always fails would count as a find.
TEST(Mutants, FailOnlyWithTheirBug) {
  for (const Mutant& mutant : kMutants) {
    SCOPED_TRACE(mutant.name);
    // A schedule with cancellations is some fifty runs.
    const std::size_t schedules = mutant.cancel == testing::Cancellation::NONE ? 200 : 10;
    for (const testing::Strategy strategy : {testing::RANDOM, testing::PCT}) {
      testing::explore(mutant.scenario,
                       {.schedules = schedules, .strategy = strategy, .cancel = mutant.cancel});
    }
  }
}

// Asyncio's order alone is not enough to find them.
TEST(Mutants, SurviveWithoutExploration) {
  int survivors = 0;
  for (const Mutant& mutant : kMutants) {
    planted = mutant.bug;
    try {
      testing::explore(mutant.scenario, {.strategy = testing::FIFO});
      ++survivors;
    } catch (const testing::ScheduleFailed&) {
    }
    planted = Bug::kNone;
  }
  EXPECT_GE(survivors, 10);
  std::cout << "mutants that one run in asyncio's order does not find: " << survivors << "\n";
}

}  // namespace
}  // namespace aiofiber::explored
