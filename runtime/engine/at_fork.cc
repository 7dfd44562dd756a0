// SPDX-License-Identifier: Apache-2.0
//
// The registry: a list in the order of the steps, and one pthread_atfork(3) for all of it.
//
// The mutex is held over the fork, so the list is intact in the child, and each handler that ran before the
// fork runs after it too. It is locked with the hooks off, so that a task that forks is not suspended there.
#include "aiofiber/runtime/engine/at_fork.h"

#include <pthread.h>

#include <mutex>

#include "aiofiber/runtime/engine/fiber.h"

namespace aiofiber::runtime {

namespace {
constinit std::mutex mutex;
constinit ForkHandler* first = nullptr;
std::uint32_t generation = 0;  // written only in a child, which has one thread
}  // namespace

struct ForkHandlers {
  static void add(ForkHandler& handler) noexcept {
    if (handler.registered_) return;
    ForkHandler** place = &first;
    while (*place != nullptr && (*place)->step_ <= handler.step_) place = &(*place)->next_;
    handler.next_ = *place;
    handler.registered_ = true;
    *place = &handler;
  }

  static void remove_those_of(const void* module) noexcept {
    for (ForkHandler** place = &first; *place != nullptr;) {
      ForkHandler& handler = **place;
      if (handler.module_ == module) {
        *place = handler.next_;
        handler.registered_ = false;
      } else {
        place = &handler.next_;
      }
    }
  }

  // The recursion is as deep as the list is long: a handful of handlers.
  static void prepare(const ForkHandler* handler) noexcept {
    if (handler == nullptr) return;
    prepare(handler->next_);
    if (handler->functions_.prepare != nullptr) handler->functions_.prepare();
  }

  static void run(ForkHandler::Function ForkHandler::Functions::*which) noexcept {
    for (const ForkHandler* handler = first; handler != nullptr; handler = handler->next_) {
      if (handler->functions_.*which != nullptr) (handler->functions_.*which)();
    }
  }
};

namespace {

void prepare() noexcept {
  const HooksOff hooks_off;
  mutex.lock();
  ForkHandlers::prepare(first);
}

void in_parent() noexcept {
  const HooksOff hooks_off;
  ForkHandlers::run(&ForkHandler::Functions::parent);
  mutex.unlock();
}

// There is no HooksOff here: its fiber is the parent's, and the first step forgets that fiber. The hooks'
// unlock() reads the queues of waiters, so it comes after all steps.
void in_child() noexcept {
  ++generation;
  ForkHandlers::run(&ForkHandler::Functions::child);
  mutex.unlock();
}

}  // namespace

void at_fork(ForkHandler& handler) noexcept {
  const HooksOff hooks_off;
  static const int installed = ::pthread_atfork(&prepare, &in_parent, &in_child);
  static_cast<void>(installed);
  const std::lock_guard lock(mutex);
  ForkHandlers::add(handler);
}

void forget_fork_handlers(const void* module) noexcept {
  const HooksOff hooks_off;
  const std::lock_guard lock(mutex);
  ForkHandlers::remove_those_of(module);
}

std::uint32_t fork_generation() noexcept { return generation; }

}  // namespace aiofiber::runtime
