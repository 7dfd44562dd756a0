// SPDX-License-Identifier: Apache-2.0
//
// Task<T>: a fiber with asyncio's semantics, and the ways to make one.
//
// A new task does not run at once: its body starts in the loop's next pass, unless eager_start is set. The
// loop owns pending tasks, so a handle may be dropped; call detach() to show that this is intended. Source:
// asyncio.Task, create_task, ensure_future.
// Differs from asyncio: the loop keeps its pending tasks alive; asyncio holds them by weak references.
// Differs from asyncio: arguments of create_task() are decay-copied, as by std::thread.
//
//     auto add = [](int a, int b) { return a + b; };
//     auto task = asyncio::create_task({.name = "adder"}, add, 1, 2);
//     assert(!task.done());                    // it begins in the next pass
//     assert(asyncio::await(task) == 3);
//     assert(task.get_name() == "adder");
//
// Wrong: a `[&]` lambda for a task that outlives the frame. Capture by value, or use a task group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "aiofiber/coroutine.h"
#include "aiofiber/future.h"
#include "aiofiber/task_core.h"

namespace aiofiber {

// One frame of a stack or traceback.
struct Frame {
  std::uintptr_t address = 0;        // where the frame goes on
  std::string function;              // its name, readable; empty: not known
  std::string file;                  // empty without debug information
  int line = 0;                      // in `file`; 0: not known
  bool inlined = false;              // the compiler put its code into its caller
  std::string module;                // path of the executable or library; empty when the address is in none
  std::uintptr_t module_offset = 0;  // address - start of the module
  std::string build_id;              // the build of the module, for looking up separate debug information
};

namespace detail {
std::vector<Frame> task_stack(const TaskCore& task, std::optional<std::size_t> limit);
void print_task_stack(const TaskCore& task, std::optional<std::size_t> limit, std::ostream* file);
std::vector<Frame> source_frames(const SourceTrace& trace);
// As runtime::format_frames().
std::string format_frames(const std::vector<Frame>& frames);
// The frames of a thrown exception as Python writes them, each line ended; empty when it has none. `owner`:
// the future that failed, if known. Reads debug information: milliseconds the first time.
std::string format_traceback(const std::exception_ptr& exception, FutureBase* owner);
// The members that Task<T> and AnyTask share; Derived provides core().
template <class Derived>
class TaskMembers {
 public:
  // Returns by value, because a default name is made on demand.
  std::string get_name() const { return core().name(); }
  // Changes what get_name() gives and the tools show.
  void set_name(std::string name) const { core().set_name(std::move(name)); }
  // Number of cancellation requests minus uncancel() calls.
  int cancelling() const { return core().cancelling(); }
  // Takes one cancellation request back, and gives how many are left. Source: asyncio.Task.uncancel().
  int uncancel() const { return core().uncancel(); }
  // Suspended: its frames, oldest first; `limit` keeps the newest. A suspended C++20 coroutine is a frame at
  // its co_await, between the frames that await it and those that it awaits. Failed: from its entry to the
  // throw, oldest first; `limit` keeps the oldest. Not started: its function. Finished or cancelled: none.
  // Running: its own frames.
  std::vector<Frame> get_stack(std::optional<std::size_t> limit = std::nullopt) const {
    return task_stack(core(), limit);
  }
  // The same as text, in the form of a Python traceback; nullptr: std::cerr.
  void print_stack(std::optional<std::size_t> limit = std::nullopt, std::ostream* file = nullptr) const {
    print_task_stack(core(), limit, file);
  }
  // The context that the task runs in.
  Context get_context() const {
    auto& data = core().context();
    if (data == nullptr) data = Context().data();
    return Context(data);
  }

 private:
  TaskCore& core() const { return *static_cast<const Derived&>(*this).state().task(); }
};
}  // namespace detail

// A task of unknown T.
class AnyTask : public AnyFuture, public detail::TaskMembers<AnyTask> {
 public:
  using AnyFuture::AnyFuture;
};

// A handle of a task that gives a T. Dropping it does not end the task. Not thread-safe. Source:
// asyncio.Task.
template <class T = void>
class [[nodiscard]] Task : public Future<T>, public detail::TaskMembers<Task<T>> {
 public:
  Task() noexcept = default;
  explicit Task(runtime::Ref<detail::TaskState<T>> state) noexcept
      : Future<T>(runtime::Ref<detail::FutureState<T>>(std::move(state))) {}
  // Drops this handle on purpose; the loop keeps the task.
  void detach() && { static_cast<AnyFuture&>(*this) = AnyFuture(); }
  operator AnyTask() const { return AnyTask(this->ref()); }  // the same task, without its type
  // As aiofiber::all_tasks(): the spelling of Python 3.5.
  static std::vector<AnyTask> all_tasks(EventLoop* loop = nullptr);
  // As aiofiber::current_task(): the spelling of Python 3.5.
  static std::optional<AnyTask> current_task(EventLoop* loop = nullptr);
};

// Tasks that are not done, oldest first. nullptr: the running loop; RuntimeError if there is none.
std::vector<AnyTask> all_tasks(EventLoop* loop = nullptr);
// The task whose code runs now; none in a callback. nullptr: the running loop; RuntimeError if there is none.
std::optional<AnyTask> current_task(EventLoop* loop = nullptr);

template <class T>
std::vector<AnyTask> Task<T>::all_tasks(EventLoop* loop) {
  return aiofiber::all_tasks(loop);
}
template <class T>
std::optional<AnyTask> Task<T>::current_task(EventLoop* loop) {
  return aiofiber::current_task(loop);
}

namespace detail {
// Calls the loop's factory, then schedules the task, or runs its first step.
void launch_task(LoopCore& loop, TaskCore& task, bool eagerly);

template <class T, class F>
Task<T> start_task(LoopCore& loop, F&& closure, const TaskOptions& options, EntryInfo entry) {
  loop.check_open();
  loop.check_thread();
  using Closure = std::decay_t<F>;
  runtime::Ref<TaskState<T>> state(new ClosureTask<T, Closure>(loop, std::forward<F>(closure)));
  state->start(options, entry);
  launch_task(loop, *state, options.eager_start);
  return Task<T>(std::move(state));
}
// The same for a task without a stack (coro.h).
template <class T, class F>
Task<T> start_stackless_task(LoopCore& loop, F&& closure, const TaskOptions& options, EntryInfo entry);

// Makes the task for a callable: without a stack, if its result is a Coro.
template <class R, class F>
auto start_task_for(LoopCore& loop, F&& closure, const TaskOptions& options, EntryInfo entry) {
  if constexpr (IsCoro<R>::value) {
    return start_stackless_task<Awaited<R>>(loop, std::forward<F>(closure), options, entry);
  } else {
    return start_task<R>(loop, std::forward<F>(closure), options, entry);
  }
}

// The same for a coroutine object.
template <class C>
Task<typename C::value_type> start_coroutine(LoopCore& loop, C coroutine, const TaskOptions& options) {
  if (loop.closed()) coroutine.close();  // refused: no never-awaited report, the error below is enough
  const EntryInfo entry = coroutine.entry();
  using R = std::conditional_t<IsCoro<C>::value, C, typename C::value_type>;
  return start_task_for<R>(loop, std::move(coroutine), options, entry);
}

template <class F>
concept TaskFunction =
    !IsCoroutine<std::decay_t<F>>::value && !std::is_same_v<std::decay_t<F>, TaskOptions> &&
    !std::is_base_of_v<AnyFuture, std::decay_t<F>>;

template <class F, class... Args>
using ClosureOf = std::conditional_t<sizeof...(Args) == 0, F, Call<F, Args...>>;
// Static assertions about a function and its arguments. Public functions check them first: each level of
// calls further in adds three lines of compiler output (g++ 14) before the message that names the remedy.
template <class F, class... Args>
struct CheckedTask {
  static_assert(TaskFunction<F>,
                "create_task takes a function, or a Coroutine; a Future needs no task: await it");
  static constexpr bool value = true;
};
template <class F, class... Args>
requires TaskFunction<F>
struct CheckedTask<F, Args...> : CallResultOf<F, Args...>,
                                 TaskClosure<ClosureOf<std::decay_t<F>, std::decay_t<Args>...>> {
  static constexpr bool value = true;
};
}  // namespace detail

template <class T>
Task<T> EventLoop::create_task(Coroutine<T> coroutine, TaskOptions options) {
  return detail::start_coroutine(*core_, std::move(coroutine), options);
}
template <class T>
Task<T> EventLoop::create_task(Coroutine<T> coroutine) {
  return detail::start_coroutine(*core_, std::move(coroutine), TaskOptions{});
}
template <class F, class... Args>
auto EventLoop::create_task(TaskOptions options, F&& fn, Args&&... args) {
  static_assert(detail::CheckedTask<F, Args...>::value);
  using R = detail::CallResult<F, Args...>;
  const std::decay_t<F>& callable = fn;
  const detail::EntryInfo entry = detail::entry_of(callable);
  if constexpr (sizeof...(Args) == 0 && detail::can_call<F>) {
    if (detail::is_empty_callable(fn)) detail::throw_empty_callable("create_task()");
    return detail::start_task_for<R>(*core_, std::forward<F>(fn), options, entry);
  } else {
    return detail::start_task_for<R>(
        *core_, detail::bind_call(std::forward<F>(fn), std::forward<Args>(args)...), options, entry);
  }
}
template <class F, class... Args>
auto EventLoop::create_task(F&& fn, Args&&... args) {
  static_assert(detail::CheckedTask<F, Args...>::value);
  return create_task(TaskOptions{}, std::forward<F>(fn), std::forward<Args>(args)...);
}

// A task factory that starts each task at once, as TaskOptions::eager_start does:
// loop.set_task_factory(eager_task_factory). A program's own factory may call it for selected tasks. Source:
// asyncio.eager_task_factory.
void eager_task_factory(EventLoop& loop, AnyTask task);
// The same, but calls `first` before, to name the task or to refuse it. Source:
// asyncio.create_eager_task_factory.
EventLoop::TaskFactory create_eager_task_factory(EventLoop::TaskFactory first);

// Makes a task of the running loop. RuntimeError "no running event loop"; std::length_error: a stack_size
// that is not allowed; std::bad_alloc, StackError: out of memory or stacks (the loop goes on).
// No default argument: g++ 12 copies an aggregate in an expression with co_await without its constructor.
template <class T>
Task<T> create_task(Coroutine<T> coroutine) {
  return get_running_loop().create_task(std::move(coroutine));
}
template <class T>
Task<T> create_task(Coroutine<T> coroutine, TaskOptions options) {
  return get_running_loop().create_task(std::move(coroutine), std::move(options));
}
template <class F, class... Args>
requires detail::TaskFunction<F>
auto create_task(F&& fn, Args&&... args) {
  static_assert(detail::CheckedTask<F, Args...>::value);
  return get_running_loop().create_task(std::forward<F>(fn), std::forward<Args>(args)...);
}
template <class F, class... Args>
auto create_task(TaskOptions options, F&& fn, Args&&... args) {
  static_assert(detail::CheckedTask<F, Args...>::value);
  return get_running_loop().create_task(std::move(options), std::forward<F>(fn), std::forward<Args>(args)...);
}

}  // namespace aiofiber

template <>
struct std::hash<aiofiber::AnyTask> : std::hash<aiofiber::AnyFuture> {};
template <class T>
struct std::hash<aiofiber::Task<T>> : std::hash<aiofiber::AnyFuture> {};
