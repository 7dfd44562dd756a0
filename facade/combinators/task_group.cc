// SPDX-License-Identifier: Apache-2.0
//
// The bookkeeping of a TaskGroup. Each child has a node that is allocated with it. The node moves from the
// list of live children to the list of failed ones, or is freed.
#include "aiofiber/task_group.h"

#include <absl/strings/str_cat.h>

#include "aiofiber/cancel_walk.h"
#include "aiofiber/exception_group.h"

namespace aiofiber {

struct TaskGroup::Child final : detail::CallbackNode, detail::Waiter {
  explicit Child(TaskGroup& owner) noexcept : CallbackNode(&run_node), group(&owner) {
    link.child = this;
    target = this;
  }
  // Leaves every list. A node in the ready queue stays until the queue drops it.
  void leave() noexcept {
    if (link.linked()) link.unlink();
    if (detail::Waiter::linked()) detail::Waiter::unlink();
    group = nullptr;
    task = nullptr;
    if (!queued) delete this;
  }
  void drop() noexcept override {
    if (group != nullptr && !detail::Waiter::linked()) return;  // its group's exit or destructor frees it
    leave();
  }
  void add_awaiting(std::vector<detail::FutureBase*>& out) const override {
    if (group != nullptr) out.push_back(&group->parent_->future());
  }
  static void run_node(Runnable& node) {
    auto& child = static_cast<Child&>(node);
    if (child.group == nullptr) {
      delete &child;
    } else {
      child.group->child_done(child);
    }
  }

  TaskGroup* group;
  Link link;
  runtime::Ref<detail::FutureBase> task;
};

void TaskGroup::ChildDeleter::operator()(Child* child) const noexcept { delete child; }

TaskGroup::~TaskGroup() {
  if (scope_ != 0) parent_->close_scope(scope_);
  // Children are left only if the loop closes while the group is open.
  while (Link* link = live_.front()) link->child->leave();
  while (Link* link = failed_.front()) link->child->leave();
}

void TaskGroup::enter() {
  detail::TaskCore* const current = detail::current_task_core();
  if (current == nullptr) detail::throw_outside_task();
  detail::TaskCore& parent = *current;
  // Made now, because there are no children yet: a failure leaves no child behind.
  all_done_ = runtime::Ref<detail::ObjectFuture>(
      new detail::ObjectFuture(parent.loop(), AIOFIBER_WAIT_TASK_GROUP, this));
  parent_ = &parent;
  scope_ = parent.open_scope();
}

EventLoop& TaskGroup::loop() const { return parent_->loop().facade(); }

std::unique_ptr<TaskGroup::Child, TaskGroup::ChildDeleter> TaskGroup::prepare() {
  if (exiting_ && live_count_ == 0) throw RuntimeError("TaskGroup " + repr(*this) + " is finished");
  if (aborting_) throw RuntimeError("TaskGroup " + repr(*this) + " is shutting down");
  return std::unique_ptr<Child, ChildDeleter>(new Child(*this));
}

void TaskGroup::add(std::unique_ptr<Child, ChildDeleter> child, runtime::Ref<detail::FutureBase> task) {
  child->task = std::move(task);
  live_.push_back(child->link);
  ++live_count_;
  Child& added = *child.release();
  if (detail::TaskCore* core = added.task->task()) core->note_watcher(this);
  added.task->add_waiter(added);
}

void TaskGroup::abort() noexcept {
  aborting_ = true;
  detail::CancelMany cancel;
  for (Link* link = live_.front(); link != nullptr; link = live_.after(*link)) {
    if (!link->child->task->done()) cancel.request(*link->child->task);
  }
}

void TaskGroup::child_done(Child& child) noexcept {
  child.link.unlink();
  --live_count_;
  if (live_count_ == 0 && exiting_ && !all_done_->done()) all_done_->set_value();
  detail::FutureBase& task = *child.task;
  if (!task.failed()) {
    child.leave();
    return;
  }
  task.mark_retrieved();
  failed_.push_back(child.link);
  ++failed_count_;
  if (!base_error_ && detail::leaves_the_loop(task.peek_exception())) base_error_ = task.peek_exception();
  if (!aborting_ && !parent_cancel_requested_) {
    abort();
    parent_cancel_requested_ = true;
    using Error = detail::CancelSource::Error;
    const bool ordinary = detail::holds<std::exception>(task.peek_exception());
    parent_->cancel({}, {scope_, ordinary ? Error::kGroup : Error::kBaseGroup});
  }
}

void TaskGroup::wait_for_children(std::exception_ptr& cancellation) {
  while (live_count_ > 0) {
    try {
      parent_->wait_for_future(*all_done_);
      all_done_->check_result();
    } catch (const runtime::PassesOnOther&) {
      throw;
    } catch (const CancelledError&) {
      cancelled_in_exit(cancellation);
    }
    all_done_->reopen();
  }
}

// Called in the handler of the CancelledError. The parent may be cancelled more than once; only the first
// cancellation counts.
void TaskGroup::cancelled_in_exit(std::exception_ptr& cancellation) {
  if (aborting_) return;
  cancellation = std::current_exception();
  abort();
}

std::vector<std::exception_ptr> TaskGroup::collect_errors(std::exception_ptr body_error) {
  std::vector<std::exception_ptr> errors;
  errors.reserve(failed_count_ + 1);
  for (Link* link = failed_.front(); link != nullptr; link = failed_.after(*link)) {
    errors.push_back(link->child->task->peek_exception());
  }
  if (body_error) errors.push_back(std::move(body_error));
  return errors;
}

void TaskGroup::begin_exit(std::exception_ptr& error, std::exception_ptr& cancellation) {
  exiting_ = true;
  if (!error || (!detail::is_cancelled_error(error) && !detail::leaves_the_loop(error))) {
    try {
      parent_->raise_if_interrupted();
    } catch (const runtime::PassesOnOther&) {
      throw;
    } catch (const CancelledError&) {
      error = std::current_exception();
    }
  }
  if (error && !base_error_ && detail::leaves_the_loop(error)) base_error_ = error;
  if (error && detail::is_cancelled_error(error)) cancellation = std::exchange(error, nullptr);
  if ((error || cancellation) && !aborting_) abort();
}

void TaskGroup::end_exit(std::exception_ptr error, std::exception_ptr cancellation) {
  if (base_error_) std::rethrow_exception(base_error_);
  if (parent_cancel_requested_ && parent_->uncancel() == 0) cancellation = nullptr;
  if (cancellation && failed_count_ == 0) std::rethrow_exception(cancellation);
  std::vector<std::exception_ptr> errors = collect_errors(std::move(error));
  if (errors.empty()) return;
  if (parent_->cancelling() > 0) {
    // The parent was also cancelled from outside: the group's errors win, and the next await raises the
    // cancellation.
    parent_->uncancel();
    parent_->cancel({});
  }
  std::rethrow_exception(make_exception_group("unhandled errors in a TaskGroup", std::move(errors)));
}

void TaskGroup::exit(std::exception_ptr error) {
  std::exception_ptr cancellation;
  begin_exit(error, cancellation);
  wait_for_children(cancellation);
  end_exit(std::move(error), std::move(cancellation));
}

Coro<void> TaskGroup::exit_without_stack(TaskGroup& group, std::exception_ptr error) {
  std::exception_ptr cancellation;
  group.begin_exit(error, cancellation);
  const Future<void> all_done{runtime::Ref<detail::FutureState<void>>(group.all_done_)};
  while (group.live_count_ > 0) {
    try {
      co_await all_done;
    } catch (const CancelledError&) {
      group.cancelled_in_exit(cancellation);
    }
    group.all_done_->reopen();
  }
  group.end_exit(std::move(error), std::move(cancellation));
}

std::string repr(const TaskGroup& group) {
  std::string info;
  if (group.live_count_ > 0) absl::StrAppend(&info, " tasks=", group.live_count_);
  if (group.failed_count_ > 0) absl::StrAppend(&info, " errors=", group.failed_count_);
  if (group.aborting_) {
    info += " cancelling";
  } else if (group.parent_ != nullptr) {
    info += " entered";
  }
  return "<TaskGroup" + info + ">";
}

}  // namespace aiofiber
