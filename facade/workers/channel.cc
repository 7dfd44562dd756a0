// SPDX-License-Identifier: Apache-2.0
//
// Waking a task of another loop, and what becomes of a wake-up that the task does not use.
//
// A wait that is in the channel's list, or that is woken with the mutex held, belongs to a task that exists,
// because the wait leaves with the mutex when its frame ends. So the task's loop exists, too, and a thread
// that holds the mutex may post to it. One kind of task stays behind a closed loop: one that cannot be
// unwound, whose frames stay in memory. Its future keeps the loop's core, and it is passed over.
#include "aiofiber/channel.h"

#include <absl/strings/str_cat.h>

#include "aiofiber/exceptions.h"
#include "aiofiber/loop_core.h"

namespace aiofiber::detail {

namespace {

std::size_t checked_size(std::ptrdiff_t maxsize) {
  if (maxsize < 1) {
    throw ValueError(absl::StrCat("a Channel needs room for at least one item, not ", maxsize,
                                  ": it has no unbounded form, because a fast thread would fill the memory"));
  }
  return static_cast<std::size_t>(maxsize);
}

}  // namespace

ChannelCore::ChannelCore(std::ptrdiff_t maxsize) : maxsize_(checked_size(maxsize)) {}

void ChannelCore::throw_shut_down() { throw QueueShutDown(); }

// Adds a wait at its place: at the end, or, after a wake-up in vain, where it was.
void ChannelCore::join(ChannelWait& wait) noexcept {
  runtime::List<ChannelWait>& waiting = wait.for_room_ ? putters_ : getters_;
  wait.phase_ = ChannelWait::Phase::kWaiting;
  if (wait.place_ == 0) {
    wait.place_ = ++last_place_;
    return waiting.push_back(wait);
  }
  ChannelWait* behind = waiting.front();
  while (behind != nullptr && behind->place_ < wait.place_) behind = waiting.after(*behind);
  if (behind == nullptr) return waiting.push_back(wait);
  runtime::ListNode& node = wait;
  runtime::ListNode& next = *behind;
  node.prev = next.prev;
  node.next = &next;
  next.prev->next = &node;
  next.prev = &node;
}

// Wakes a wait that has left the list. False: its task cannot use the wake-up.
bool ChannelCore::wake(ChannelWait& wait) noexcept {
  LoopCore& loop = wait.loop_;
  if (loop.closed()) return false;
  wait.phase_ = ChannelWait::Phase::kWoken;
  if (runtime::Scheduler::current() == &loop.scheduler()) {
    // Its own thread. The task may have been cancelled, without having run since.
    if (wait.future_.done()) {
      wait.phase_ = ChannelWait::Phase::kOutside;
      return false;
    }
    wait.future_.finish();
    return true;
  }
  wait.node_->posted = true;
  loop.scheduler().post(*wait.node_);
  return !loop.closed_after_post();
}

void ChannelCore::wake_next(runtime::List<ChannelWait>& waiting) noexcept {
  while (ChannelWait* const wait = waiting.pop_front()) {
    wait->phase_ = ChannelWait::Phase::kOutside;
    if (wake(*wait)) return;
  }
}

// Takes a wait out. Its wake-up goes to the next one, if there is still a reason for one.
void ChannelCore::leave(ChannelWait& wait) noexcept {
  const auto phase = std::exchange(wait.phase_, ChannelWait::Phase::kOutside);
  if (phase == ChannelWait::Phase::kWaiting) wait.unlink();
  if (phase != ChannelWait::Phase::kWoken) return;
  if (wait.for_room_) {
    if (size_ < maxsize_) wake_next(putters_);
  } else if (size_ > 0) {
    wake_next(getters_);
  }
}

void ChannelCore::end(bool drop_items) noexcept {
  is_shut_down_ = true;
  if (drop_items) size_ = 0;
  while (!getters_.empty()) wake_next(getters_);
  while (!putters_.empty()) wake_next(putters_);
}

std::string ChannelCore::text() const {
  const auto count = [](const runtime::List<ChannelWait>& waiting) {
    std::size_t number = 0;
    for (const ChannelWait* wait = waiting.front(); wait != nullptr; wait = waiting.after(*wait)) ++number;
    return number;
  };
  std::size_t size = 0, getters = 0, putters = 0;
  bool is_shut_down = false;
  {
    const Guard guard(*this);
    size = size_;
    getters = count(getters_);
    putters = count(putters_);
    is_shut_down = is_shut_down_;
  }
  std::string text = absl::StrCat("<Channel maxsize=", maxsize_, " qsize=", size);
  if (getters > 0) absl::StrAppend(&text, " _getters[", getters, "]");
  if (putters > 0) absl::StrAppend(&text, " _putters[", putters, "]");
  if (is_shut_down) text += " shutdown";
  return text + ">";
}

// ---- one wait ---------------------------------------------------------------------------------------------

ChannelWait::Node::Node(ChannelWait& its_wait) noexcept
    : Runnable(Kind::kInternal, arrive), wait(&its_wait) {}

void ChannelWait::arrive(runtime::Runnable& runnable) noexcept {
  auto& node = static_cast<Node&>(runnable);
  ChannelWait* const wait = node.wait;
  if (wait == nullptr) {
    delete &node;
    return;
  }
  node.posted = false;
  if (wait->loop_.closed()) {
    // The task could not be unwound and never runs again.
    const ChannelCore::Guard guard(wait->channel_);
    wait->channel_.leave(*wait);
  } else if (!wait->future_.done()) {
    wait->future_.finish();
  }
}

ChannelWait::~ChannelWait() {
  {
    const ChannelCore::Guard guard(channel_);
    channel_.leave(*this);
  }
  if (node_->posted) node_.release()->wait = nullptr;  // it deletes itself when it arrives
}

}  // namespace aiofiber::detail
