// SPDX-License-Identifier: Apache-2.0
//
// Results that can only be moved, and containers of them, which look copyable. Each way of a result compiles
// and passes the same objects on. Copyable results are still copied where others can see them.
// Labels: threads long
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

using Item = std::unique_ptr<int>;
using Items = std::vector<Item>;

Items make_items() {
  Items items;
  items.push_back(std::make_unique<int>(7));
  return items;
}
Item make_item() { return std::make_unique<int>(7); }
int value(const Items& items) { return *items.at(0); }

struct Tree {
  std::vector<Tree> children;
};
struct Page {  // looks copyable to the compiler
  Items items;
};

}  // namespace
}  // namespace aiofiber

template <>
inline constexpr bool aiofiber::is_copyable<aiofiber::Page> = false;

namespace aiofiber {
namespace {

static_assert(is_copyable<int> && is_copyable<std::string> && is_copyable<std::vector<std::string>> &&
              is_copyable<Tree>);
static_assert(is_copyable<std::map<int, std::optional<std::string>>> &&
              is_copyable<std::vector<std::shared_ptr<Item>>>);
static_assert(is_copyable<std::vector<Future<Item>>>, "a handle is copyable, whatever its result is");
static_assert(!is_copyable<Item> && !is_copyable<Items> && !is_copyable<std::list<std::vector<Items>>>);
static_assert(!is_copyable<std::map<int, Item>> && !is_copyable<std::unordered_map<int, Items>> &&
              !is_copyable<std::queue<Items>>);
static_assert(!is_copyable<std::optional<Items>> && !is_copyable<std::array<Items, 2>> &&
              !is_copyable<std::pair<int, Items>>);
static_assert(!is_copyable<std::tuple<int, Items>> && !is_copyable<std::variant<int, Items>> &&
              !is_copyable<Result<Items>>);
static_assert(!is_copyable<const Items> && !is_copyable<std::vector<Page>>);

TEST(MoveOnly, ContainersTravelThroughTasksAndFutures) {
  run_in_loop([] {
    EXPECT_EQ(value(await(create_task(make_items))), 7);
    EXPECT_EQ(value(await(make_items)), 7);
    EXPECT_EQ(value(await(coroutine(make_items)())), 7);
    EXPECT_EQ(value(await(wait_for(make_items, 1s))), 7);
    EXPECT_EQ(value(await(shield(make_items))), 7);
    EXPECT_EQ(value(await(timeout(1s, make_items))), 7);
    EXPECT_EQ(value(await(sleep(1ms, make_items()))), 7);
    auto future = get_running_loop().create_future<Items>();
    future.set_result(make_items());
    EXPECT_EQ(value(await(future)), 7) << "looking needs no copy";
    const int* const before = future.result().at(0).get();
    const Items taken = await(std::move(future));
    EXPECT_EQ(taken.at(0).get(), before);
    EXPECT_TRUE(await(create_task([] { return std::map<int, Item>(); })).empty());
    EXPECT_EQ(value(await(create_task([] { return Page{make_items()}; })).items), 7);
  });
}

TEST(MoveOnly, ContainersTravelThroughWhatWaitsForSeveral) {
  run_in_loop([] {
    auto [first, second] = await(gather(make_items, make_items));
    EXPECT_EQ(value(first) + value(second), 14);
    EXPECT_EQ(value(await(gather(std::vector<std::function<Item()>>{make_item}))), 7);
    auto results = await(gather(return_exceptions, std::vector<std::function<Items()>>{make_items}));
    EXPECT_EQ(value(std::move(results.at(0)).value()), 7);
    await(task_group([](TaskGroup& group) {
      auto task = group.create_task(make_items);
      EXPECT_EQ(value(await(std::move(task))), 7);
    }));
    for (auto next : as_completed(std::vector<std::function<Items()>>{make_items}))
      EXPECT_EQ(value(await(std::move(next))), 7);
    Queue<Items> queue;
    queue.put_nowait(make_items());
    await(queue.put(make_items()));
    EXPECT_EQ(value(await(queue.get())) + value(queue.get_nowait()), 14);
  });
  EXPECT_EQ(value(run(make_items)), 7);
}

TEST(MoveOnly, ContainersTravelBetweenThreads) {
  EventLoop loop;
  loop.run_until_complete([&] {
    EXPECT_EQ(value(await(to_thread(make_items))), 7);
    ThreadPoolExecutor pool(1);
    EXPECT_EQ(value(await(wrap_future(pool.submit(make_items)))), 7);
    pool.shutdown(true);
  });
  concurrent::Future<Items> future = run_coroutine_threadsafe(make_items, loop);
  future.add_done_callback([&](const concurrent::Future<Items>&) { loop.stop(); });
  loop.run_forever();
  EXPECT_EQ(value(future.result()), 7);
  loop.close();
}

TEST(MoveOnly, WhatCanBeCopiedIsCopiedWhereOthersStillLook) {
  run_in_loop([] {
    auto task = create_task([] { return std::vector<std::string>{"text"}; });
    auto other = task;
    EXPECT_EQ(await(std::move(task)).at(0), "text");
    EXPECT_EQ(await(other).at(0), "text");
  });
}

}  // namespace
}  // namespace aiofiber
