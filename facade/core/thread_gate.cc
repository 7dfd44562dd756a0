// SPDX-License-Identifier: Apache-2.0
//
// The numbered links of a gate. They are destroyed outside the mutex: their futures may run destructors of
// the program.
#include "aiofiber/thread_gate.h"

#include <utility>

namespace aiofiber::detail {

void ThreadGate::Link::run_node(Runnable& node) {
  auto& link = static_cast<Link&>(node);
  const std::shared_ptr<ThreadGate> gate = link.gate_;
  const std::unique_ptr<Link> owned = gate->take(link.id_);
  owned->arrive();
}

void ThreadGate::Link::drop() noexcept {
  const std::shared_ptr<ThreadGate> gate = gate_;
  const std::unique_ptr<Link> owned = gate->take(id_);
  owned->loop_closed();
}

ThreadGate::ThreadGate(LoopCore& core) noexcept : core_(&core) {}
ThreadGate::~ThreadGate() = default;

ThreadGate& ThreadGate::of(LoopCore& core) {
  core.check_open();
  if (core.thread_gate == nullptr) core.thread_gate = std::make_shared<ThreadGate>(core);
  return *core.thread_gate;
}

// Called with the mutex.
void ThreadGate::expect(std::ptrdiff_t change) noexcept {
  if (core_ == nullptr || change == 0) return;
  expected_ += change;
  core_->scheduler().clock().expect_answers(change);
}

std::uint64_t ThreadGate::add(std::unique_ptr<Link> link, bool expected) {
  const std::lock_guard lock(mutex_);
  link->gate_ = shared_from_this();
  link->id_ = ++last_id_;
  link->expected_ = expected;
  links_.emplace(last_id_, std::move(link));
  expect(expected ? 1 : 0);
  return last_id_;
}

std::unique_ptr<ThreadGate::Link> ThreadGate::take(std::uint64_t id) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = links_.find(id);
  if (found == links_.end()) return nullptr;
  std::unique_ptr<Link> link = std::move(found->second);
  links_.erase(found);
  expect(link->expected_ ? -1 : 0);
  return link;
}

void ThreadGate::remove(std::uint64_t id) noexcept {
  std::unique_ptr<Link> link;
  const std::lock_guard lock(mutex_);
  const auto found = links_.find(id);
  if (found == links_.end() || found->second->posted_) return;
  link = std::move(found->second);  // declared before the lock, so destroyed after the mutex is free
  links_.erase(found);
  expect(link->expected_ ? -1 : 0);
}

bool ThreadGate::post(std::uint64_t id) noexcept {
  const std::lock_guard lock(mutex_);
  if (core_ == nullptr) return false;
  const auto found = links_.find(id);
  if (found == links_.end() || found->second->posted_) return false;
  found->second->posted_ = true;
  core_->scheduler().post(*found->second);
  return true;
}

void ThreadGate::shut() noexcept {
  const std::lock_guard lock(mutex_);
  expect(-expected_);
  core_ = nullptr;
}

void ThreadGate::close() noexcept {
  shut();
  Link* idle = nullptr;  // a chain through the nodes' own links: a closing loop must not need memory
  {
    const std::lock_guard lock(mutex_);
    for (auto entry = links_.begin(); entry != links_.end();) {
      if (entry->second->posted_) {
        ++entry;
        continue;
      }
      Link* const link = entry->second.release();
      link->next = idle;
      idle = link;
      entry = links_.erase(entry);
    }
  }
  while (idle != nullptr) {
    const std::unique_ptr<Link> link(idle);
    idle = static_cast<Link*>(idle->next);
    link->loop_closed();
  }
}

}  // namespace aiofiber::detail
