// SPDX-License-Identifier: Apache-2.0
//
// Limits, groups and cancellations in destructors, also while an exception unwinds. They work if the
// destructor catches the error. They are kept back if the error would leave the destructor and end the
// program.
// Labels: long
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

// Calls its function when it is destroyed.
class AtEnd {
 public:
  explicit AtEnd(std::function<void()> function) : function_(std::move(function)) {}
  ~AtEnd() { function_(); }
  AtEnd(const AtEnd&) = delete;
  AtEnd& operator=(const AtEnd&) = delete;

 private:
  std::function<void()> function_;
};

std::chrono::nanoseconds now() { return get_running_loop().time().time_since_epoch(); }

// How a clean-up ends, and how long it takes: at the end of a scope, while an exception unwinds, and while a
// cancellation does.
struct Outcome {
  std::string word;
  std::chrono::nanoseconds took;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};
std::vector<Outcome> outcomes_of(const std::function<std::string()>& clean_up) {
  std::vector<Outcome> outcomes;
  run_in_loop([&] {
    const auto observed = [&] {
      const auto begun = now();
      const std::string word = clean_up();
      outcomes.push_back({word, now() - begun});
    };
    { const AtEnd end(observed); }
    try {
      const AtEnd end(observed);
      throw std::runtime_error("unwinds");
    } catch (const std::runtime_error&) {
    }
    auto task = create_task([&] {
      const AtEnd end(observed);
      await(sleep(1h));
    });
    await(sleep(1ms));
    task.cancel();
    EXPECT_THROW(await(task), CancelledError);
  });
  return outcomes;
}
std::vector<Outcome> three_times(const std::string& word, std::chrono::nanoseconds took) {
  return {{word, took}, {word, took}, {word, took}};
}

TEST(InADestructor, ATimeLimitEndsWhatItHolds) {
  EXPECT_EQ(outcomes_of([]() -> std::string {
              try {
                await(timeout(50ms, [] { await(sleep(2h)); }));
              } catch (const TimeoutError&) {
                return "TimeoutError";
              }
              return "finished";
            }),
            three_times("TimeoutError", 50ms));
}

TEST(InADestructor, WaitForEndsATask) {
  EXPECT_EQ(outcomes_of([]() -> std::string {
              auto task = create_task([] { await(sleep(2h)); });
              try {
                await(wait_for(task, 50ms));
              } catch (const std::exception&) {  // a base of TimeoutError
                return task.cancelled() ? "ended" : "goes on";
              }
              return "finished";
            }),
            three_times("ended", 50ms));
}

TEST(InADestructor, TheInnerOfTwoLimitsEndsItsOwn) {
  EXPECT_EQ(outcomes_of([]() -> std::string {
              std::string word;
              try {
                await(timeout(1h, [&] {
                  try {
                    await(timeout(50ms, [] { await(sleep(2h)); }));
                  } catch (const TimeoutError&) {
                    word += "inner ";
                  }
                  await(sleep(3h));
                }));
              } catch (const TimeoutError&) {
                word += "outer";
              }
              return word;
            }),
            three_times("inner outer", 1h));
}

TEST(InADestructor, AGroupEndsWhenAChildFails) {
  EXPECT_EQ(outcomes_of([]() -> std::string {
              try {
                await(task_group([](TaskGroup& group) {
                  group.create_task([] {
                    await(sleep(50ms));
                    throw std::logic_error("child");
                  });
                  group.create_task([] { await(sleep(2h)); });
                  await(sleep(2h));
                }));
              } catch (const ExceptionGroup& errors) {
                return "group of " + std::to_string(errors.exceptions().size());
              }
              return "finished";
            }),
            three_times("group of 1", 50ms));
}

TEST(InADestructor, ALimitWhoseErrorWouldLeaveItIsKeptBack) {
  EXPECT_EQ(outcomes_of([]() -> std::string {
              await(timeout(50ms, [] { await(sleep(2h)); }));
              return "finished";
            }),
            three_times("finished", 2h));
}

TEST(InADestructor, ALimitThatWasKeptBackIsForgottenWithItsScope) {
  run_in_loop([] {
    bool went_on = false;
    auto task = create_task([&] {
      try {
        const AtEnd end([] { await(timeout(50ms, [] { await(sleep(2h)); })); });
        await(sleep(1h));
      } catch (const CancelledError&) {
        // Swallowed; nobody else asked.
      }
      await(sleep(1h));
      went_on = true;
    });
    await(sleep(1ms));
    task.cancel();
    await(task);
    EXPECT_TRUE(went_on);
  });
}

// The destructor would catch the limit's own TimeoutError. But after another cancellation the scope throws
// CancelledError.
TEST(InADestructor, ALimitAfterACancellationThatIsKeptBackIsKeptBackToo) {
  const auto body_that_sleeps = [] { await(sleep(300ms)); };
  const auto body_that_awaits = [] { await(create_task([] { await(sleep(300ms)); })); };
  const std::function<void()> bodies[] = {body_that_sleeps, body_that_awaits};
  for (const std::function<void()>& body : bodies) {
    run_in_loop([&] {
      auto task = create_task([&] {
        const AtEnd end([&] {
          try {
            await(timeout(50ms, body));
          } catch (const TimeoutError&) {
          }
        });
      });
      await(sleep(10ms));
      task.cancel();
      await(wait({task}));
      EXPECT_TRUE(task.done());
    });
  }
}

// The limit's CancelledError is already being thrown when another request comes. It still becomes a
// TimeoutError, and the other request is raised at the next possible place.
TEST(InADestructor, ACancellationInTheSamePassAsALimitIsKeptBack) {
  const auto body_that_sleeps = [] { await(sleep(2h)); };
  const auto body_that_awaits = [] { await(create_task([] { await(sleep(2h)); })); };
  const std::function<void()> bodies[] = {body_that_sleeps, body_that_awaits};
  for (const std::function<void()>& body : bodies) {
    run_in_loop([&] {
      std::string word;
      const auto begun = now();
      auto task = create_task([&] {
        {
          const AtEnd end([&] {
            try {
              await(timeout(50ms, body));
            } catch (const TimeoutError&) {
              word = "TimeoutError";
            }
          });
        }
        await(sleep(1h));
      });
      await(sleep(10ms));
      // Its timer is made later, so it fires behind the limit's in the same pass.
      get_running_loop().call_at(TimePoint(begun + 50ms), [&] { task.cancel("from outside"); });
      try {
        await(task);
        ADD_FAILURE() << "the other cancellation was lost";
      } catch (const CancelledError& error) {
        EXPECT_EQ(error.message(), "from outside");
      }
      EXPECT_EQ(now(), begun + 50ms);
      EXPECT_EQ(word, "TimeoutError");
      EXPECT_EQ(task.cancelling(), 1);
    });
  }
}

TEST(InADestructor, ACancellationInTheSamePassAsAGroupsIsKeptBack) {
  run_in_loop([] {
    std::string word;
    const auto begun = now();
    auto task = create_task([&] {
      {
        const AtEnd end([&] {
          try {
            await(task_group([](TaskGroup& group) {
              auto child = group.create_task([] {
                await(sleep(50ms));
                throw std::logic_error("child");
              });
              child.add_done_callback([parent = current_task()](const auto&) mutable {
                parent->cancel();
              });  // behind the group's own
              await(sleep(2h));
            }));
          } catch (const ExceptionGroup&) {
            word = "group";
          }
        });
      }
      await(sleep(1h));
    });
    EXPECT_THROW(await(task), CancelledError);
    EXPECT_EQ(now(), begun + 50ms);
    EXPECT_EQ(word, "group");
  });
}

// Its handler is for TimeoutError, which this is not.
TEST(InADestructor, AnotherCancellationIsKeptBackUntilALegalPlace) {
  run_in_loop([] {
    bool cleaned_up = false;
    auto task = create_task([&] {
      try {
        const AtEnd end([&] {
          try {
            await(timeout(1h, [] { await(sleep(100ms)); }));
            await(get_running_loop().create_task([] { await(sleep(100ms)); }));
          } catch (const TimeoutError&) {
          }
          cleaned_up = true;
        });
        throw std::runtime_error("unwinds");
      } catch (const std::runtime_error&) {
      }
      await(sleep(1h));
    });
    await(sleep(50ms));
    task.cancel();
    const auto begun = now();
    EXPECT_THROW(await(task), CancelledError);
    EXPECT_TRUE(cleaned_up);
    EXPECT_EQ(now() - begun, 150ms);  // the rest of the clean-up, none of the hour
  });
}

TEST(InADestructor, ACancellationIsRaisedWhereEverythingIsCaught) {
  run_in_loop([] {
    bool caught = false;
    auto task = create_task([&] {
      try {
        const AtEnd end([&] {
          try {
            await(sleep(1h));
          } catch (...) {
            caught = true;
          }
        });
        throw std::runtime_error("unwinds");
      } catch (const std::runtime_error&) {
      }
    });
    await(sleep(1ms));
    const auto begun = now();
    task.cancel();
    await(wait({task}));
    EXPECT_TRUE(caught);
    EXPECT_EQ(now(), begun);
  });
}

// Their handlers throw on what they caught, so they are no end of its way.
TEST(InADestructor, ACancellationDoesNotTakeALocksHandlersForAnEnd) {
  run_in_loop([] {
    Lock lock;
    Queue<int> queue;
    Semaphore semaphore(0);
    Condition condition;
    await(lock.acquire());
    struct Wait {
      std::function<void()> wait, end;
    };
    const std::vector<Wait> waits{
        {[&] { await(lock.acquire()); }, [&] { lock.release(); }},
        {[&] { static_cast<void>(await(queue.get())); }, [&] { queue.put_nowait(1); }},
        {[&] { await(semaphore.acquire()); }, [&] { semaphore.release(); }},
        {[&] {
           await(condition.acquire());
           await(condition.wait());
           condition.release();
         },
         [&] {
           await(condition.acquire());
           condition.notify_all();
           condition.release();
         }}};
    for (const Wait& each : waits) {
      auto task = create_task([&] { const AtEnd end(each.wait); });
      await(sleep(1ms));
      task.cancel();
      await(sleep(1ms));
      EXPECT_FALSE(task.done());  // it goes on waiting
      each.end();
      await(wait({task}));
      EXPECT_TRUE(task.cancelled());
    }
  });
}

}  // namespace
}  // namespace aiofiber
