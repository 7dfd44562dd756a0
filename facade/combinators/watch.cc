// SPDX-License-Identifier: Apache-2.0
//
// Starting and ending a Watch, and the order in which owners are released.
#include "aiofiber/watch.h"

#include "aiofiber/task_core.h"
#include "core/one_by_one.h"

namespace aiofiber::detail {

using runtime::Ref;

namespace {

struct OwnersOneByOne {
  static WatchOwner*& next(WatchOwner& owner) noexcept { return owner.next_to_go; }
  static void release(WatchOwner& owner) noexcept { owner.release_owner(); }
};

}  // namespace

void release_in_turn(WatchOwner& owner) noexcept {
  if (owner.owner_references() > 1) {
    owner.release_owner();
    return;
  }
  release_one_by_one<WatchOwner, OwnersOneByOne>(owner);
}

void release_in_turn(Ref<FutureBase> future) noexcept {
  if (!future || future->references() > 1) return;
  if (WatchOwner* const owner = future->watch_owner()) {
    static_cast<void>(future.detach());  // the next call takes over this reference
    release_in_turn(*owner);
  }
}

void Watch::start(WatchOwner& watch_owner, runtime::Ref<FutureBase> future) {
  owner_ = &watch_owner;
  input = std::move(future);
  target = this;
  on_scheduled = [](Waiter& waiter, FutureBase& done) noexcept {
    auto& watch = static_cast<Watch&>(waiter);
    if (!watch.holds_owner_) {
      watch.holds_owner_ = true;
      watch.owner_->retain_owner();
    }
    if (!watch.input) watch.input = runtime::Ref<FutureBase>(&done);
  };
  if (TaskCore* task = input->task()) task->note_watcher(owner_->watcher());
  input->add_waiter(*this);
}

void Watch::stop() noexcept {
  if (!linked()) return;
  unlink();
  // A watch that was handed to its input has no reference to it, and ends with it.
  if (!input) return;
  if (TaskCore* task = input->task()) task->note_watcher(nullptr);
}

void Watch::hold_owner() noexcept {
  holds_owner_ = true;
  owner_->retain_owner();
}

void Watch::let_owner_go() noexcept {
  if (std::exchange(holds_owner_, false)) release_in_turn(*owner_);
}

void Watch::run_node(Runnable& node) {
  auto& watch = static_cast<Watch&>(node);
  watch.owner_->input_done(watch);
  watch.let_owner_go();
}

void Watch::drop() noexcept {
  stop();
  release_in_turn(std::move(input));
  let_owner_go();
}

bool WatchArray::hand_to_inputs(WatchOwner& owner) noexcept {
  if (handed_over_) return false;
  handed_over_ = true;
  bool any = false;
  for (const Watch& watch : *this) any = any || watch.pending();
  if (!any) return false;
  owner.retain_owner();
  for (Watch& watch : *this) {
    if (watch.pending()) watch.hold_owner();
  }
  for (Watch& watch : *this) {
    // May destroy the input, which then drops the watch. A pending Ref is moved out first, because drop()
    // writes it.
    if (watch.pending()) release_in_turn(std::move(watch.input));
  }
  owner.release_owner();
  return true;
}

}  // namespace aiofiber::detail
