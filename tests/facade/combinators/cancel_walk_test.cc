// SPDX-License-Identifier: Apache-2.0
//
// cancel() through chains and rings of waiting tasks, at any depth; and the destruction of futures that hold
// each other.
// Labels: slow
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "support/run_in_loop.h"

namespace {
bool counts = false;
long allocations = 0;

[[gnu::noinline]] void* allocate(std::size_t bytes) {
  if (counts) ++allocations;
  void* const block = std::malloc(bytes);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
[[gnu::noinline]] void release(void* block) noexcept { std::free(block); }
}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes); }
void operator delete(void* block) noexcept { release(block); }
void operator delete(void* block, std::size_t) noexcept { release(block); }

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

constexpr int kDeep = 1'000'000;  // far beyond what any stack holds

using Futures = std::vector<Future<>>;

Future<> gathers_of(Future<> future, int levels) {
  for (int i = 0; i < levels; ++i) future = gather(Futures{future});
  return future;
}
Future<> shields_of(Future<> future, int levels) {
  for (int i = 0; i < levels; ++i) future = shield(future);
  return future;
}

TEST(Cancel, GoesThroughAnyNumberOfGathersWithoutAllocating) {
  run_in_loop([] {
    auto root = get_running_loop().create_future<>();
    Future<> outermost = gathers_of(root, kDeep);
    counts = true;
    const bool accepted = outermost.cancel();
    counts = false;
    EXPECT_TRUE(accepted);
    EXPECT_EQ(allocations, 0);
    EXPECT_TRUE(root.cancelled());
    EXPECT_THROW(await(outermost), CancelledError);
  });
}

TEST(Cancel, GoesThroughTasksThatGatherTasks) {
  run_in_loop([] {
    std::vector<Task<>> tasks{create_task([] { await(sleep(1h)); })};
    for (int i = 0; i < 3000; ++i) {
      tasks.push_back(create_task({.stack_size = 32768}, [below = tasks.back()] { await(gather(below)); }));
    }
    for (int i = 0; i < 3; ++i) await(sleep(0s));
    tasks.back().cancel("why");
    await(wait(tasks));
    for (const Task<>& task : tasks) {
      EXPECT_TRUE(task.cancelled());
      EXPECT_EQ(task.cancelling(), 1);
    }
  });
}

TEST(Cancel, BringsTheTextThroughGathers) {
  run_in_loop([] {
    auto root = get_running_loop().create_future<>();
    auto all = gathers_of(root, 3);
    all.cancel("why");
    try {
      await(all);
      ADD_FAILURE();
    } catch (const CancelledError& error) {
      EXPECT_EQ(error.message(), "why");
    }
  });
}

TEST(Cancel, AsksEachInputOfATreeOnce) {
  run_in_loop([] {
    std::vector<Task<>> leaves;
    Futures level;
    for (int i = 0; i < 8; ++i) {
      leaves.push_back(create_task([] { await(sleep(1h)); }));
      level.push_back(leaves.back());
    }
    while (level.size() > 1) {
      Futures above;
      for (std::size_t i = 0; i < level.size(); i += 2)
        above.push_back(gather(Futures{level[i], level[i + 1]}));
      level = above;
    }
    await(sleep(0s));
    EXPECT_TRUE(level[0].cancel());
    for (const Task<>& leaf : leaves) EXPECT_EQ(leaf.cancelling(), 1);
    EXPECT_THROW(await(level[0]), CancelledError);
    await(wait(leaves));
    for (const Task<>& leaf : leaves) EXPECT_TRUE(leaf.cancelled());
  });
}

// Each level has two gathers of the two of the level below, so 2^levels ways lead down from the top.
std::vector<int> requests_by_many_ways(int levels, int calls) {
  std::vector<int> counts;
  run_in_loop([&] {
    std::vector<Task<>> leaves;
    for (int i = 0; i < 2; ++i) leaves.push_back(create_task([] { await(sleep(1h)); }));
    Futures level{leaves[0], leaves[1]};
    // A task between two levels: it is reached by many ways, too.
    level.push_back(create_task([waits_for = gather(Futures{level[0], level[1]})] { await(waits_for); }));
    for (int i = 0; i < levels; ++i) level = {gather(level), gather(level)};
    await(sleep(0s));
    Future<> top = gather(level);
    for (int i = 0; i < calls; ++i) EXPECT_TRUE(top.cancel());
    for (const Task<>& leaf : leaves) counts.push_back(leaf.cancelling());
    EXPECT_THROW(await(top), CancelledError);
    await(wait(leaves));
    for (const Task<>& leaf : leaves) EXPECT_TRUE(leaf.cancelled());
  });
  return counts;
}

TEST(Cancel, OfGathersThatShareInputsIsARequestByEachWay) {
  // Two ways lead from each gather of the lowest level to a leaf: directly, and through the task.
  for (const int levels : {1, 3, 8, 12, 18})
    EXPECT_EQ(requests_by_many_ways(levels, 1), std::vector<int>(2, 2 << levels)) << levels;
  EXPECT_EQ(requests_by_many_ways(10, 3), std::vector<int>(2, 3 * (2 << 10)));
}

TEST(Cancel, OfGathersThatShareInputsTakesAStepForEachOfThem) {
  constexpr int kSaturated = (1 << 23) - 1;
  EXPECT_EQ(requests_by_many_ways(1000, 1), std::vector<int>(2, kSaturated));
}

TEST(Cancel, OfAGatherOfNothingThatIsPendingIsRefused) {
  run_in_loop([] {
    auto done = get_running_loop().create_future<>();
    done.set_result();
    auto open = get_running_loop().create_future<>();
    auto all = gather(Futures{done, open});
    open.set_result();
    EXPECT_FALSE(all.cancel());
    await(all);
  });
}

// Each waits for the next one, the last for the first.
void cancel_a_ring(int size, bool collects_errors, bool has_a_sleeper) {
  run_in_loop([=] {
    std::vector<Task<>> ring(static_cast<std::size_t>(size));
    for (std::size_t i = 0; i < ring.size(); ++i) {
      ring[i] = create_task([&ring, i, collects_errors, has_a_sleeper] {
        Futures others{ring[(i + 1) % ring.size()]};
        if (has_a_sleeper) others.push_back(create_task([] { await(sleep(1h)); }));
        if (collects_errors) {
          await(gather(return_exceptions, others));
        } else {
          await(gather(others));
        }
      });
    }
    for (int i = 0; i < 4; ++i) await(sleep(0s));
    EXPECT_TRUE(ring[0].cancel());
    await(wait(ring, {.timeout = 1s}));
    for (Task<>& task : ring) EXPECT_TRUE(task.done());
    EXPECT_TRUE(ring[0].cancelled() || collects_errors);
  });
}

// The ring leads through the first input. The second one waits for something that ends in its own time.
TEST(Cancel, OfARingTakesOutTheTaskThatClosesIt) {
  for (const bool collects_errors : {false, true}) {
    run_in_loop([=] {
      bool answered = false;
      auto slow = create_task([&] {
        try {
          await(sleep(1h));
        } catch (const CancelledError&) {
          await(sleep(1s));
          answered = true;
          throw;
        }
      });
      bool too_early = false;
      auto other = create_task([&] {
        try {
          await(slow);
        } catch (const CancelledError&) {
          too_early = !answered;
          throw;
        }
      });
      Task<> self;
      self = create_task([&] {
        if (collects_errors) {
          await(gather(return_exceptions, Futures{self, other}));
        } else {
          await(gather(Futures{self, other}));
        }
      });
      for (int i = 0; i < 4; ++i) await(sleep(0s));
      EXPECT_TRUE(self.cancel());
      await(wait(std::vector<Task<>>{self, other, slow}, {.timeout = 10s}));
      EXPECT_TRUE(self.done());
      EXPECT_TRUE(other.cancelled());
      EXPECT_FALSE(too_early);
    });
  }
}

TEST(Cancel, EndsRingsThroughGathers) {
  for (const int size : {1, 2, 3, 50}) {
    for (const bool collects_errors : {false, true}) {
      for (const bool has_a_sleeper : {false, true}) {
        SCOPED_TRACE(std::to_string(size) + " tasks");
        cancel_a_ring(size, collects_errors, has_a_sleeper);
      }
    }
  }
}

// Tasks of a graph: a task i waits for all of below[i], which come before it.
using Graph = std::vector<std::vector<std::size_t>>;

// How often each was asked to end when cancel() of all is called in turn.
std::vector<int> requests(const Graph& graph, bool by_run) {
  std::vector<int> counts(graph.size());
  std::vector<Task<>> tasks;
  run([&] {
    for (std::size_t i = 0; i < graph.size(); ++i) {
      Futures inputs;
      for (const std::size_t input : graph[i]) inputs.push_back(tasks[input]);
      tasks.push_back(create_task([inputs, &count = counts[i]] {
        try {
          if (inputs.empty()) {
            await(sleep(1h));
          } else if (inputs.size() == 1) {
            await(inputs[0]);
          } else {
            await(gather(inputs));
          }
        } catch (const CancelledError&) {
          count = current_task()->cancelling();
          throw;
        }
      }));
    }
    for (int i = 0; i < 4; ++i) await(sleep(0s));
    if (by_run) return;
    for (const AnyTask& task : all_tasks()) {
      if (!(task == *current_task())) AnyTask(task).cancel();
    }
    await(wait(tasks));
  });
  tasks.clear();
  return counts;
}

TEST(Run, CountsRequestsAtItsEndAsCancelInTurnWould) {
  const Graph chain{{}, {0}, {1}, {2}, {3}};
  EXPECT_EQ(requests(chain, true), (std::vector<int>{5, 4, 3, 2, 1}));
  EXPECT_EQ(requests(chain, false), (std::vector<int>{5, 4, 3, 2, 1}));
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    Graph graph(12);
    for (std::size_t i = 1; i < graph.size(); ++i) {
      for (std::size_t input = 0; input < i; ++input) {
        if (random() % 4 == 0) graph[i].push_back(input);
      }
    }
    EXPECT_EQ(requests(graph, true), requests(graph, false)) << "round " << round;
  }
}

TEST(TaskGroup, CountsRequestsOfChildrenThatWaitForEachOther) {
  run_in_loop([] {
    std::vector<int> counts;
    try {
      await(task_group([&](TaskGroup& group) {
        Future<> below = group.create_task([] { await(sleep(1h)); });
        for (int i = 0; i < 3; ++i) {
          below = group.create_task([&counts, below] {
            try {
              await(below);
            } catch (const CancelledError&) {
              counts.push_back(current_task()->cancelling());
              throw;
            }
          });
        }
        await(sleep(1s));
        throw std::runtime_error("an error of the body");
      }));
    } catch (const ExceptionGroup&) {
    }
    EXPECT_EQ(counts, (std::vector<int>{3, 2, 1}));
  });
}

TEST(Run, EndsWithARingThroughGathersLeftOver) {
  static Task<> a, b;
  run([] {
    a = create_task([] { await(gather(b)); });
    b = create_task([] { await(gather(a)); });
    for (int i = 0; i < 4; ++i) await(sleep(0s));
  });
  EXPECT_TRUE(a.done());
  EXPECT_TRUE(b.done());
  a = b = {};
}

TEST(Futures, ThatHoldEachOtherAreDestroyedAtAnyDepth) {
  for (Future<> (*const nest)(Future<>, int) : {gathers_of, shields_of}) {
    // Done: the outer ones hold the inner ones.
    run_in_loop([nest] {
      auto root = get_running_loop().create_future<>();
      Future<> outermost = nest(root, kDeep);
      root.set_result();
      await(outermost);
    });
    // Pending and dropped: the inner ones hold the outer ones. Then done, or dropped as well.
    for (const bool ends : {true, false}) {
      run_in_loop([nest, ends] {
        auto root = get_running_loop().create_future<>();
        static_cast<void>(nest(root, kDeep));
        if (ends) {
          root.set_result();
          await(sleep(0s));
        }
      });
    }
  }
}

TEST(Futures, ThatEachOthersCallbacksHoldAreDestroyedAtAnyDepth) {
  run_in_loop([] {
    auto outermost = get_running_loop().create_future<>();
    const std::weak_ptr<int> innermost = [&outermost] {
      const auto value = std::make_shared<int>(0);
      outermost.add_done_callback([value](const auto&) {});
      return value;
    }();
    for (int i = 0; i < kDeep; ++i) {
      auto next = get_running_loop().create_future<>();
      next.add_done_callback([inner = std::move(outermost)](const auto&) {});
      outermost = std::move(next);
    }
    outermost = {};
    EXPECT_TRUE(innermost.expired());
  });
}

TEST(Futures, OfWhichADestructorAwaitsLeaveTheRestToIt) {
  struct Awaits {
    ~Awaits() {
      if (alive) await(sleep(1s));
    }
    Awaits() = default;
    Awaits(Awaits&& other) noexcept : alive(std::exchange(other.alive, false)) {}
    bool alive = true;
  };
  run_in_loop([] {
    // A value whose destructor suspends is the innermost of a chain; other chains end meanwhile.
    auto task = create_task([] {
      auto inner = create_task([] { return Awaits(); });
      auto outer = gather(std::vector<Task<Awaits>>{inner});
      await(wait({inner}));
    });
    await(sleep(100ms));
    auto root = get_running_loop().create_future<>();
    {
      Future<> other = shields_of(root, 1000);
      root.set_result();
      await(other);
    }
    EXPECT_EQ(root.state().references(), 1u);  // nothing of the chain is left
    await(task);
  });
}

}  // namespace
}  // namespace aiofiber
