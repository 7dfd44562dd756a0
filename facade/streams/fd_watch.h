// SPDX-License-Identifier: Apache-2.0
//
// FdWatch: calls a member function of an object in each pass in which a descriptor is ready.
//
// It is add_reader() for a descriptor that the facade owns. The watch can pause and go on at no cost of
// system calls, because the reactor forgets it late. Several watches of one descriptor do not know each
// other. The owner checks two things when it is called: whether it still wants to read (the call may have
// been queued before stop()), and error().
#pragma once

#include "aiofiber/handle.h"
#include "aiofiber/loop_core.h"
#include "aiofiber/runtime/engine/reactor.h"

namespace aiofiber::detail {

// A callback that may be queued any number of times. `Owner` is counted, and cancels it before it dies.
template <class Owner, void (Owner::*member)()>
class MemberHandle final : public HandleBase {
 public:
  MemberHandle(LoopCore& loop, Owner& owner) : HandleBase(loop, {0, &typeid(Owner)}), owner_(owner) {
    persistent = true;
  }

 protected:
  void call() override {
    const runtime::Ref<Owner> keep(&owner_);
    (owner_.*member)();
  }
  void forget() noexcept override {}

 private:
  Owner& owner_;
};

class FdWatch : private runtime::FdWaiter {
 public:
  // `events`: kReadable or kWritable.
  FdWatch(LoopCore& loop, int descriptor, unsigned events, runtime::Ref<HandleBase> handle) noexcept
      : FdWaiter(descriptor, events, on_ready), loop_(loop), handle_(std::move(handle)) {}
  ~FdWatch() {
    stop();
    handle_->cancel();
  }
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;

  bool active() const noexcept { return active_; }
  // Does nothing if it is active. std::system_error: the descriptor cannot be watched.
  void start() {
    if (active_) return;
    loop_.scheduler().reactor().add(*this);
    active_ = true;
  }
  void stop() noexcept {
    if (active_) loop_.scheduler().reactor().remove(*this);
    active_ = false;
  }
  // Not 0: somebody else closed the descriptor (EBADF), or the kernel does not watch it. The number may
  // belong to another file now.
  int error() const noexcept { return failure; }
  // For an owner that tries it again.
  void forget_error() noexcept { failure = 0; }

 private:
  static void on_ready(FdWaiter& waiter, unsigned events) noexcept {
    auto& self = static_cast<FdWatch&>(waiter);
    if ((events & runtime::kClosed) != 0) self.active_ = false;
    self.handle_->schedule_again();
  }

  LoopCore& loop_;
  runtime::Ref<HandleBase> handle_;
  bool active_ = false;
};

}  // namespace aiofiber::detail
