// SPDX-License-Identifier: Apache-2.0
//
// What is to happen, by time.
//
// Events of the same moment come in an order that the seed decides. What must keep its order, as the packets
// of a connection, has one event at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "aiofiber/runtime/engine/choice.h"
#include "aiofiber/runtime/engine/config.h"

namespace aiofiber::testing::detail {

class EventQueue {
 public:
  using Action = std::function<void()>;

  explicit EventQueue(runtime::Chooser& chooser) noexcept : chooser_(chooser) {}

  void add(runtime::Nanoseconds time, Action action) {
    heap_.push_back({time, chooser_.choose(kTies), next_number_++, std::move(action)});
    std::push_heap(heap_.begin(), heap_.end(), comes_later);
  }
  // kForever: there is none.
  runtime::Nanoseconds next_time() const noexcept {
    return heap_.empty() ? runtime::kForever : heap_.front().time;
  }
  // The first event. Precondition: there is one.
  Action take() {
    std::pop_heap(heap_.begin(), heap_.end(), comes_later);
    Action action = std::move(heap_.back().action);
    heap_.pop_back();
    return action;
  }
  void clear() noexcept { heap_.clear(); }

 private:
  static constexpr std::uint64_t kTies = 1u << 20;
  struct Event {
    runtime::Nanoseconds time;
    std::uint64_t tie;
    std::uint64_t number;  // two equal ties: the older one
    Action action;
  };
  static bool comes_later(const Event& a, const Event& b) noexcept {
    if (a.time != b.time) return a.time > b.time;
    return a.tie != b.tie ? a.tie > b.tie : a.number > b.number;
  }

  std::vector<Event> heap_;
  std::uint64_t next_number_ = 0;
  runtime::Chooser& chooser_;
};

}  // namespace aiofiber::testing::detail
