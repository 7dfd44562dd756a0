// SPDX-License-Identifier: Apache-2.0
//
// task_group(): tasks that do not outlive a scope. Source: asyncio.TaskGroup (3.13).
//
// The body creates children. The scope ends when all of them have ended. The first error, of a child or of
// the body, cancels the other children, in order of creation. All errors are then thrown together as an
// ExceptionGroup, in order of completion, with the body's error last. A cancelled child is no error.
// Differs from asyncio: `async with TaskGroup() as tg:` is a call with a body, body(TaskGroup& tg).
//
//     int sum = 0;                             // outlives the tasks, so they may refer to it
//     asyncio::await(asyncio::task_group([&](asyncio::TaskGroup& group) {
//       for (int i = 1; i <= 3; ++i) group.create_task([&sum, i] { sum += i; });
//     }));
//     assert(sum == 6);
//
// Wrong: `[&i]` of the loop's variable, which has changed when the task begins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "aiofiber/coro.h"
#include "aiofiber/result.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/inspect/unwind.h"
#include "aiofiber/task.h"

namespace aiofiber {

namespace detail {
template <class Body>
class TaskGroupCall;
}

// The handle of a child. It is a Task that may be dropped without detach(), because its group keeps the task.
template <class T>
class GroupTask : public Task<T> {
 public:
  GroupTask() noexcept = default;
  // TaskGroup::create_task() makes it.
  explicit GroupTask(Task<T> task) noexcept : Task<T>(std::move(task)) {}
};

// The scope, which the body takes by reference; it ends with task_group().
class TaskGroup {
 public:
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Makes a task of the group, as aiofiber::create_task() does. Allowed while the body runs or any child
  // lives. RuntimeError: the group is finished, or shutting down after an error.
  template <class C>
  requires detail::IsCoroutine<C>::value GroupTask<typename C::value_type> create_task(C coroutine) {
    return add_task(std::move(coroutine), TaskOptions());
  }
  template <class C>
  requires detail::IsCoroutine<C>::value GroupTask<typename C::value_type> create_task(C coroutine,
                                                                                       TaskOptions options) {
    return add_task(std::move(coroutine), std::move(options));
  }
  template <class F, class... Args>
  requires detail::TaskFunction<F> GroupTask<detail::Awaited<detail::CallResult<F, Args...>>> create_task(
      F&& fn, Args&&... args) {
    std::unique_ptr<Child, ChildDeleter> child = prepare();
    return adopt(std::move(child), loop().create_task(std::forward<F>(fn), std::forward<Args>(args)...));
  }
  template <class F, class... Args>
  requires detail::TaskFunction<F> GroupTask<detail::Awaited<detail::CallResult<F, Args...>>> create_task(
      TaskOptions options, F&& fn, Args&&... args) {
    std::unique_ptr<Child, ChildDeleter> child = prepare();
    return adopt(std::move(child),
                 loop().create_task(std::move(options), std::forward<F>(fn), std::forward<Args>(args)...));
  }

  friend std::string repr(const TaskGroup& group);

 private:
  struct Child;
  struct ChildDeleter {
    void operator()(Child* child) const noexcept;
  };
  struct Link : runtime::ListNode {
    Child* child = nullptr;
  };

  TaskGroup() noexcept = default;
  ~TaskGroup();
  void enter();
  // Waits for the children and throws the outcome of the scope. `error`: the body's error (null: none).
  void exit(std::exception_ptr error);
  static Coro<void> exit_without_stack(TaskGroup& group, std::exception_ptr error);
  // Its parts. `cancellation`: the first one of the current task, which ended the body or the wait.
  void begin_exit(std::exception_ptr& error, std::exception_ptr& cancellation);
  void cancelled_in_exit(std::exception_ptr& cancellation);
  void end_exit(std::exception_ptr error, std::exception_ptr cancellation);
  std::unique_ptr<Child, ChildDeleter> prepare();
  template <class C>
  GroupTask<typename C::value_type> add_task(C coroutine, TaskOptions options) {
    std::unique_ptr<Child, ChildDeleter> child;
    try {
      child = prepare();
    } catch (...) {
      coroutine.close();  // refused: no never-awaited report
      throw;
    }
    return adopt(std::move(child), loop().create_task(std::move(coroutine), std::move(options)));
  }
  EventLoop& loop() const;
  template <class T>
  GroupTask<T> adopt(std::unique_ptr<Child, ChildDeleter> child, Task<T> task) {
    add(std::move(child), task.ref());
    return GroupTask<T>(std::move(task));
  }
  void add(std::unique_ptr<Child, ChildDeleter> child, runtime::Ref<detail::FutureBase> task);
  void abort() noexcept;
  void child_done(Child& child) noexcept;
  void wait_for_children(std::exception_ptr& cancellation);
  std::vector<std::exception_ptr> collect_errors(std::exception_ptr body_error);

  detail::TaskCore* parent_ = nullptr;
  std::uint32_t scope_ = 0;   // its number among the parent's open scopes
  runtime::List<Link> live_;  // in order of creation
  // In order of completion; a link holds its error, so recording one never allocates.
  runtime::List<Link> failed_;
  std::size_t live_count_ = 0;
  std::size_t failed_count_ = 0;
  std::exception_ptr base_error_;                // KeyboardInterrupt, SystemExit: thrown alone
  runtime::Ref<detail::ObjectFuture> all_done_;  // the exit waits for it
  bool exiting_ = false;
  bool aborting_ = false;
  bool parent_cancel_requested_ = false;  // by the group, which must take it back

  template <class Body>
  friend class detail::TaskGroupCall;
};
// The text that asyncio prints, with the numbers of tasks and errors.
std::string repr(const TaskGroup& group);

namespace detail {
template <class Body>
inline constexpr bool is_group_body = std::is_invocable_v<Body&, TaskGroup&>;
// What the body gives, awaited; nothing where it cannot be called, so that the sentence below is the only
// error.
template <class Body>
struct TaskGroupResult {
  using type = void;
};
template <class Body>
requires is_group_body<Body>
struct TaskGroupResult<Body> {
  using type = detail::Awaited<std::invoke_result_t<Body&, TaskGroup&>>;
};

// The function object of the coroutine that task_group() gives.
template <class Body>
class TaskGroupCall {
 public:
  using R = detail::Awaited<std::invoke_result_t<Body&, TaskGroup&>>;
  explicit TaskGroupCall(Body body) : body_(std::move(body)) {}
  detail::EntryInfo entry() const noexcept { return detail::entry_of(body_); }

  // Not inlined: see runtime::PassesOnOther.
  AIOFIBER_NOINLINE R operator()() {
    TaskGroup group;
    group.enter();
    std::exception_ptr error;
    std::optional<Stored<R>> value;
    try {
      if constexpr (std::is_void_v<R>) {
        detail::call_and_await(body_, group);
      } else {
        value.emplace(detail::call_and_await(body_, group));
      }
    } catch (const runtime::PassesOnOther&) {
      throw;
    } catch (const runtime::ForcedUnwind&) {
      throw;
    } catch (...) {
      error = std::current_exception();
    }
    group.exit(std::move(error));
    if constexpr (std::is_reference_v<R>) {
      return static_cast<R>(value->get());
    } else if constexpr (!std::is_void_v<R>) {
      return std::move(*value);
    }
  }

  Coro<R> stackless_form() requires detail::IsCoro<std::invoke_result_t<Body&, TaskGroup&>>::value {
    return run_without_stack(std::move(body_));
  }

 private:
  static Coro<R> run_without_stack(Body body) {
    TaskGroup group;
    group.enter();
    std::exception_ptr error;
    std::optional<Stored<R>> value;
    try {
      if constexpr (std::is_void_v<R>) {
        co_await std::invoke(body, group);
      } else {
        value.emplace(co_await std::invoke(body, group));
      }
    } catch (...) {
      error = std::current_exception();
    }
    co_await TaskGroup::exit_without_stack(group, std::move(error));
    if constexpr (std::is_reference_v<R>) {
      co_return static_cast<R>(value->get());
    } else if constexpr (!std::is_void_v<R>) {
      co_return std::move(*value);
    }
  }

  Body body_;
};
}  // namespace detail

// Calls body(TaskGroup&) in the current task and waits for all tasks of the group. The value of the await is
// the body's value. If no child lives when the body ends, the call does not give up control.
// Cancellation: a cancellation of the current task cancels the children, waits for them, and passes on. If a
// child fails meanwhile, the ExceptionGroup replaces it, and the cancellation request stays set. Errors:
// ExceptionGroup "unhandled errors in a TaskGroup" (BaseExceptionGroup if a member is no std::exception);
// KeyboardInterrupt and SystemExit are thrown alone, after the children have ended.
// Source: asyncio.TaskGroup.
template <class Body>
Coroutine<typename detail::TaskGroupResult<std::decay_t<Body>>::type> task_group(Body&& body) {
  static_assert(detail::is_group_body<std::decay_t<Body>>,
                "the body of task_group() is called with the group: [&](asyncio::TaskGroup& group) { ... }");
  if constexpr (detail::is_group_body<std::decay_t<Body>>) {
    using Call = detail::TaskGroupCall<std::decay_t<Body>>;
    return Coroutine<typename Call::R>(Call(std::forward<Body>(body)));
  } else {
    return Coroutine<void>([] {});
  }
}

}  // namespace aiofiber

template <class T>
struct std::hash<aiofiber::GroupTask<T>> : std::hash<aiofiber::AnyFuture> {};
