// SPDX-License-Identifier: Apache-2.0
//
// Watch: an internal done-callback, reserved before it is needed.
//
// gather, shield, wait and as_completed keep one Watch for each input. Completing an input moves the node to
// the ready queue and never allocates. A queued node holds a reference to its owner and its input. While the
// input is pending, the owner holds the input, but the input does not hold the owner. When the last reference
// to the owner goes, it either dies and removes its nodes, or moves into its inputs (hand_to_inputs), as
// asyncio's callbacks do. Not for users.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "aiofiber/future_base.h"
#include "aiofiber/loop_core.h"

namespace aiofiber::detail {

struct Watch;

class WatchOwner {
 public:
  // An input is done: called from the loop, one pass later, in order of completion.
  virtual void input_done(Watch& watch) noexcept = 0;
  virtual void retain_owner() noexcept = 0;
  virtual void release_owner() noexcept = 0;
  virtual std::uint32_t owner_references() const noexcept = 0;
  // For debuggers: appends the futures and tasks that wait for the inputs. Their wait_object() is given by
  // the next function.
  virtual void add_awaiting(std::vector<FutureBase*>& out) const = 0;
  virtual const void* watcher() const noexcept = 0;
  WatchOwner* next_to_go = nullptr;  // for release_in_turn()

 protected:
  ~WatchOwner() = default;
};

// Drops a reference. The last reference to a gather or a shield drops others, and chains of them may be as
// long as memory allows. So an owner that is dropped meanwhile is destroyed after this one, without
// recursion.
void release_in_turn(WatchOwner& owner) noexcept;
void release_in_turn(runtime::Ref<FutureBase> future) noexcept;

struct Watch final : CallbackNode, Waiter {
  Watch() noexcept : CallbackNode(&run_node) {}
  ~Watch() {
    stop();
    release_in_turn(std::move(input));
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // Keeps the input without waiting: it is done, and its owner reads it.
  void keep(runtime::Ref<FutureBase> future) noexcept { input = std::move(future); }
  // Calls watch_owner.input_done() once the input is done; for a done input, in the next pass.
  void start(WatchOwner& watch_owner, runtime::Ref<FutureBase> future);
  // Takes the node out of a pending input. A queued node still runs.
  void stop() noexcept;
  bool pending() const noexcept { return linked(); }
  // Turns the reference around: the pending input now keeps the owner alive.
  void hold_owner() noexcept;
  void drop() noexcept override;
  void add_awaiting(std::vector<FutureBase*>& out) const override { owner_->add_awaiting(out); }

  runtime::Ref<FutureBase> input;

 private:
  static void run_node(Runnable& node);
  void let_owner_go() noexcept;

  WatchOwner* owner_ = nullptr;
  bool holds_owner_ = false;
};

// The nodes of an owner that is itself a future.
class WatchArray {
 public:
  explicit WatchArray(std::size_t size) : watches_(new Watch[size]), size_(size) {}
  Watch& operator[](std::size_t index) noexcept { return watches_[index]; }
  std::size_t size() const noexcept { return size_; }
  Watch* begin() noexcept { return watches_.get(); }
  Watch* end() noexcept { return watches_.get() + size_; }
  void stop_all() noexcept {
    for (Watch& watch : *this) watch.stop();
  }
  // Called when the last handle of the owner is gone. True: do not touch the owner; pending inputs hold it
  // from now on, or have held it and it is destroyed. False: destroy it.
  bool hand_to_inputs(WatchOwner& owner) noexcept;

 private:
  std::unique_ptr<Watch[]> watches_;
  std::size_t size_;
  bool handed_over_ = false;
};

}  // namespace aiofiber::detail
