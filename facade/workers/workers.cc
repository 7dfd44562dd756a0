// SPDX-License-Identifier: Apache-2.0
//
// The threads of run_workers() and of the pool: their beginning, their end, and who is told of it.
//
// Each thread owns a Runner, and nobody else touches its loop. Other threads reach it through two links at
// its ThreadGate, made before anybody can need them: one cancels the main task, the other leaves the loop
// (KeyboardInterrupt). So a request needs no memory, and does nothing when the loop has closed. WorkerThreads
// outlives its threads: join() comes before its destruction.
#include "aiofiber/workers.h"

#include <absl/strings/str_cat.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "aiofiber/event.h"
#include "aiofiber/exception_context.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/log.h"
#include "aiofiber/thread_gate.h"

namespace aiofiber {

namespace detail {

namespace {

// The processors on which the calling thread may run; empty: the system does not say.
std::vector<int> processors() {
  for (int most = CPU_SETSIZE; most <= CPU_SETSIZE << 8; most *= 2) {
    const std::size_t bytes = CPU_ALLOC_SIZE(most);
    std::vector<cpu_set_t> set((bytes + sizeof(cpu_set_t) - 1) / sizeof(cpu_set_t));
    if (::sched_getaffinity(0, set.size() * sizeof(cpu_set_t), set.data()) != 0) continue;  // a larger system
    std::vector<int> found;
    for (int i = 0; i < most; ++i) {
      if (CPU_ISSET_S(static_cast<std::size_t>(i), bytes, set.data())) found.push_back(i);
    }
    return found;
  }
  return {};
}

// As far as it works: a processor may have been taken away since.
void pin_this_thread(int processor) {
  const std::size_t bytes = CPU_ALLOC_SIZE(processor + 1);
  std::vector<cpu_set_t> set((bytes + sizeof(cpu_set_t) - 1) / sizeof(cpu_set_t));
  CPU_SET_S(static_cast<std::size_t>(processor), set.size() * sizeof(cpu_set_t), set.data());
  static_cast<void>(::pthread_setaffinity_np(::pthread_self(), set.size() * sizeof(cpu_set_t), set.data()));
}

// The system allows 15 bytes: the number is kept and the rest is cut.
void name_this_thread(const std::string& names, std::size_t index) {
  constexpr std::size_t kMost = 15;
  const std::string number = absl::StrCat("-", index);
  const std::string name = names.substr(0, kMost - std::min(kMost, number.size())) + number;
  static_cast<void>(::pthread_setname_np(::pthread_self(), name.c_str()));
}

template <class E>
bool is(const std::exception_ptr& exception) noexcept {
  try {
    std::rethrow_exception(exception);
  } catch (const E&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

static void log_error(const char* what, const std::exception_ptr& exception) noexcept {
  try {
    log(LogLevel::ERROR, absl::StrCat(what, "\n", format_exception(exception)));
  } catch (...) {
    log(LogLevel::ERROR, what);
  }
}

std::size_t count_of_workers(const WorkersOptions& options) {
  if (options.loops != 0) return options.loops;
  const std::size_t found = processors().size();
  return found != 0 ? found : std::max(1u, std::thread::hardware_concurrency());
}

// ---- the threads ------------------------------------------------------------------------------------------

class WorkerThreads {
 public:
  WorkerThreads(WorkerMains& mains, WorkersOptions options);
  ~WorkerThreads() { join(); }
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;

  // Starts all threads. If one cannot be started, that is the first failure, and the others are cancelled.
  void start();
  void cancel_all() noexcept {
    const Guard guard(*this);
    cancel_all_locked();
  }
  // Leaves all loops at their next step.
  void interrupt_all() noexcept;
  // Blocks until all threads have ended.
  void join() noexcept;
  // Calls fn once, on the last thread when it ends, or now if all have ended. fn must not throw.
  void when_ended(std::function<void()> fn);

  // After join().
  const std::exception_ptr& failure() const noexcept { return failure_; }
  // Whether a main has ended by a requested cancellation.
  bool any_cancelled() const noexcept {
    const Guard guard(*this);
    return any_cancelled_;
  }
  bool has_failed() const noexcept {
    const Guard guard(*this);
    return failure_ != nullptr;
  }

  // ---- for main tasks
  static void main_begins(Worker& worker);

  // ---- for a pool
  // Blocks until all loops run or the first has failed.
  void wait_until_begun();
  std::size_t size() const noexcept { return slots_.size(); }
  std::size_t unfinished() const noexcept;
  void refuse_calls() noexcept;
  bool owns_this_thread() const noexcept;

 private:
  friend class WorkerEntry;
  // Guarded by the mutex unless a comment says otherwise. The hooks are off while it is held.
  class Guard {
   public:
    explicit Guard(const WorkerThreads& threads) noexcept : lock_(threads.mutex_) {}

   private:
    [[no_unique_address]] runtime::HooksOff hooks_off_;
    std::lock_guard<std::mutex> lock_;
  };
  struct Slot {
    Slot(WorkerThreads& threads, std::size_t index, std::size_t count, std::string name)
        : worker(threads, index, count, std::move(name)) {}

    Worker worker;
    std::thread thread;                // set by start(), joined by join()
    std::shared_ptr<ThreadGate> gate;  // null before its loop exists
    std::uint64_t cancel_link = 0;
    std::uint64_t interrupt_link = 0;
    // Its own thread only.
    AnyTask main;
    bool is_cancelled = false;
    // Calls of the pool.
    std::mutex entry_mutex;
    EventLoop* open_loop = nullptr;  // guarded by entry_mutex; null: takes no calls
    std::shared_ptr<std::atomic<std::size_t>> load = std::make_shared<std::atomic<std::size_t>>(0);
  };
  struct CancelLink final : ThreadGate::Link {
    explicit CancelLink(Slot& its_slot) : slot(its_slot) {}
    void arrive() override {
      slot.is_cancelled = true;
      if (slot.main.valid()) slot.main.cancel();
    }
    Slot& slot;
  };
  struct InterruptLink final : ThreadGate::Link {
    void arrive() override { throw KeyboardInterrupt(); }
  };

  void run_thread(Slot& slot) noexcept;
  void loop_begins(Slot& slot, EventLoop& loop);
  void main_ended(Slot& slot, const std::exception_ptr& failure) noexcept;
  bool is_first_failure(const std::exception_ptr& failure) noexcept;
  void thread_ended() noexcept;
  void cancel_all_locked() noexcept;

  WorkerMains& mains_;
  const WorkersOptions options_;
  const std::vector<int> processors_;
  std::vector<std::unique_ptr<Slot>> slots_;  // constant

  mutable std::mutex mutex_;
  std::condition_variable changed_;  // for wait_until_begun()
  std::size_t running_ = 0;          // threads that have not ended, or will be started
  std::size_t begun_ = 0;
  bool cancel_requested_ = false;
  bool interrupted_ = false;
  bool any_cancelled_ = false;
  std::exception_ptr failure_;
  std::vector<std::function<void()>> at_end_;

  std::mutex join_mutex_;
};

WorkerThreads::WorkerThreads(WorkerMains& mains, WorkersOptions options)
    : mains_(mains),
      options_(std::move(options)),
      processors_(options_.pin ? processors() : std::vector<int>()) {
  const std::size_t count = count_of_workers(options_);
  slots_.reserve(count);
  for (std::size_t i = 0; i < count; ++i)
    slots_.push_back(std::make_unique<Slot>(*this, i, count, absl::StrCat(options_.names, "-", i)));
}

void WorkerThreads::start() {
  {
    const Guard guard(*this);
    running_ = slots_.size();
  }
  std::size_t started = 0;
  try {
    for (; started < slots_.size(); ++started) {
      Slot& slot = *slots_[started];
      slot.thread = std::thread([this, &slot] { run_thread(slot); });
    }
  } catch (...) {
    static_cast<void>(is_first_failure(std::current_exception()));
    for (; started < slots_.size(); ++started) thread_ended();
  }
}

void WorkerThreads::run_thread(Slot& slot) noexcept {
  try {
    name_this_thread(options_.names, slot.worker.index());
    if (!processors_.empty()) pin_this_thread(processors_[slot.worker.index() % processors_.size()]);
    const std::unique_ptr<WorkerMain> main = mains_.make(slot.worker);
    RunOptions options{options_.debug, nullptr};
    if (options_.loop_factory) {
      options.loop_factory = [this] {
        std::unique_ptr<EventLoop> loop = options_.loop_factory();
        if (loop == nullptr) throw ValueError("the loop_factory of workers gave no loop");
        return loop;
      };
    }
    Runner runner(std::move(options));
    std::exception_ptr failure;
    try {
      loop_begins(slot, runner.get_loop());
      main->run(runner);
    } catch (...) {
      failure = std::current_exception();
    }
    main_ended(slot, failure);
    runner.close();
  } catch (...) {
    const std::exception_ptr failure = std::current_exception();
    if (!is_first_failure(failure) && !is<KeyboardInterrupt>(failure))
      log_error("exception while closing the loop of a worker", failure);
  }
  thread_ended();
}

void WorkerThreads::loop_begins(Slot& slot, EventLoop& loop) {
  slot.worker.loop_ = &loop;
  ThreadGate& gate = ThreadGate::of(loop.core());
  const std::uint64_t cancel = gate.add(std::make_unique<CancelLink>(slot), false);
  const std::uint64_t interrupt = gate.add(std::make_unique<InterruptLink>(), false);
  {
    const runtime::HooksOff hooks_off;
    const std::lock_guard lock(slot.entry_mutex);
    slot.open_loop = &loop;
  }
  const Guard guard(*this);
  slot.gate = gate.shared_from_this();
  slot.cancel_link = cancel;
  slot.interrupt_link = interrupt;
  if (cancel_requested_) slot.gate->post(cancel);
  if (interrupted_) slot.gate->post(interrupt);
  ++begun_;
  changed_.notify_all();
}

void WorkerThreads::main_begins(Worker& worker) {
  Slot& slot = *worker.threads_.slots_[worker.index()];
  AnyTask task = *current_task();
  task.set_name(worker.name());
  slot.main = task;
  if (slot.is_cancelled) throw CancelledError();
}

void WorkerThreads::main_ended(Slot& slot, const std::exception_ptr& failure) noexcept {
  slot.main = {};
  {
    const runtime::HooksOff hooks_off;
    const std::lock_guard lock(slot.entry_mutex);
    slot.open_loop = nullptr;
  }
  if (failure == nullptr || is_first_failure(failure)) return;
  if (is<CancelledError>(failure) || is<KeyboardInterrupt>(failure)) return;  // what was requested
  if (slot.worker.loop_ == nullptr) return log_error("the loop of a worker could not be made", failure);
  try {
    ExceptionContext context;
    context.message = absl::StrCat("exception of ", slot.worker.name(), " after another worker had failed");
    context.exception = failure;
    slot.worker.loop().call_exception_handler(context);
  } catch (...) {
    log_error("exception in the exception handler of a worker's loop", std::current_exception());
  }
}

// True if it becomes the failure of all. False: another one came first, or it is what was requested.
bool WorkerThreads::is_first_failure(const std::exception_ptr& failure) noexcept {
  const bool is_cancelled = is<CancelledError>(failure);
  const bool is_interrupt = is<KeyboardInterrupt>(failure);
  const Guard guard(*this);
  if ((is_cancelled && cancel_requested_) || (is_interrupt && interrupted_)) {
    any_cancelled_ = true;
    return false;
  }
  if (failure_ != nullptr) return false;
  failure_ = failure;
  cancel_all_locked();
  changed_.notify_all();
  return true;
}

void WorkerThreads::cancel_all_locked() noexcept {
  if (std::exchange(cancel_requested_, true)) return;
  for (const auto& slot : slots_) {
    if (slot->gate != nullptr) slot->gate->post(slot->cancel_link);
  }
}

void WorkerThreads::interrupt_all() noexcept {
  const Guard guard(*this);
  cancel_requested_ = true;
  if (std::exchange(interrupted_, true)) return;
  for (const auto& slot : slots_) {
    if (slot->gate != nullptr) slot->gate->post(slot->interrupt_link);
  }
}

void WorkerThreads::thread_ended() noexcept {
  std::vector<std::function<void()>> at_end;
  const Guard guard(*this);
  changed_.notify_all();
  if (--running_ > 0) return;
  at_end.swap(at_end_);
  // With the mutex: this object may be destroyed as soon as the thread that joins this one goes on, but not
  // earlier, and what is called here only posts.
  for (const auto& fn : at_end) fn();
}

void WorkerThreads::when_ended(std::function<void()> fn) {
  const Guard guard(*this);
  if (running_ == 0) return fn();
  at_end_.push_back(std::move(fn));
}

void WorkerThreads::join() noexcept {
  const runtime::HooksOff hooks_off;
  const std::lock_guard lock(join_mutex_);
  for (const auto& slot : slots_) {
    if (slot->thread.joinable()) slot->thread.join();
  }
}

// ---- for a pool -------------------------------------------------------------------------------------------

void WorkerThreads::wait_until_begun() {
  const runtime::HooksOff hooks_off;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return begun_ == slots_.size() || failure_ != nullptr; });
}

std::size_t WorkerThreads::unfinished() const noexcept {
  std::size_t sum = 0;
  for (const auto& slot : slots_) sum += slot->load->load(std::memory_order_relaxed);
  return sum;
}

// All calls that were taken before are in their loops' inboxes when this returns, in front of a request to
// cancel that follows.
void WorkerThreads::refuse_calls() noexcept {
  for (const auto& slot : slots_) {
    const runtime::HooksOff hooks_off;
    const std::lock_guard lock(slot->entry_mutex);
    slot->open_loop = nullptr;
  }
}

bool WorkerThreads::owns_this_thread() const noexcept {
  const std::thread::id here = std::this_thread::get_id();
  return std::any_of(slots_.begin(), slots_.end(),
                     [here](const auto& slot) { return slot->thread.get_id() == here; });
}

WorkerEntry::WorkerEntry(WorkerThreads& threads, std::optional<std::size_t> index) {
  const auto& slots = threads.slots_;
  if (index && *index >= slots.size()) {
    throw ValueError(absl::StrCat("there is no worker ", *index, ": the pool has ", slots.size()));
  }
  const auto least = std::min_element(slots.begin(), slots.end(), [](const auto& a, const auto& b) {
    return a->load->load(std::memory_order_relaxed) < b->load->load(std::memory_order_relaxed);
  });
  WorkerThreads::Slot& slot = index ? *slots[*index] : **least;
  slot.entry_mutex.lock();
  if (slot.open_loop == nullptr) {
    slot.entry_mutex.unlock();
    throw RuntimeError("the workers are closed: submit() before close()");
  }
  slot_ = &slot;
  loop_ = slot.open_loop;
}

WorkerEntry::~WorkerEntry() { static_cast<WorkerThreads::Slot*>(slot_)->entry_mutex.unlock(); }

std::shared_ptr<void> WorkerEntry::load() const {
  const auto& load = static_cast<WorkerThreads::Slot*>(slot_)->load;
  load->fetch_add(1, std::memory_order_relaxed);
  // If this throws, the deleter is called.
  return std::shared_ptr<void>(nullptr, [load](void*) { load->fetch_sub(1, std::memory_order_relaxed); });
}

// ---- run_workers() ----------------------------------------------------------------------------------------

namespace {

// Whether this thread may take the signal: only the main thread does, and only from the default action.
bool may_handle(int signo) noexcept {
  struct sigaction now {};
  return ::gettid() == ::getpid() && ::sigaction(signo, nullptr, &now) == 0 &&
         (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_DFL;
}

// The main task of the calling thread's loop.
class Supervision {
 public:
  Supervision(WorkerThreads& threads, bool signals) : threads_(threads), signals_(signals) {}

  void run() {
    EventLoop& loop = get_running_loop();
    if (signals_ && may_handle(SIGTERM)) {
      loop.add_signal_handler(SIGTERM, [this] {
        if (++terminations_ == 1) {
          threads_.cancel_all();
        } else {
          threads_.interrupt_all();
        }
      });
    }
    Event ended;
    struct EndLink final : ThreadGate::Link {
      explicit EndLink(Event& event) : ended(event) {}
      void arrive() override { ended.set(); }
      Event& ended;
    };
    ThreadGate& gate = ThreadGate::of(loop.core());
    const std::uint64_t id = gate.add(std::make_unique<EndLink>(ended));
    // If this task ends early, the link must not: it refers to the event.
    struct Remove {
      ThreadGate& gate;
      std::uint64_t id;
      ~Remove() { gate.remove(id); }
    } const remove{gate, id};
    current_task()->set_name("run_workers");
    threads_.start();
    threads_.when_ended([held = gate.shared_from_this(), id] { held->post(id); });
    for (bool cancelled = false;;) {
      try {
        await(ended.wait());
      } catch (const CancelledError&) {
        if (std::exchange(cancelled, true)) throw;
        threads_.cancel_all();
        continue;
      }
      // A SIGINT becomes KeyboardInterrupt if this task ends cancelled.
      if (cancelled && threads_.any_cancelled() && !threads_.has_failed()) throw CancelledError();
      return;
    }
  }
  int terminations() const noexcept { return terminations_; }

 private:
  WorkerThreads& threads_;
  const bool signals_;
  int terminations_ = 0;  // SIGTERMs
};

}  // namespace

void run_worker_threads(WorkerMains& mains, const WorkersOptions& options, bool has_results) {
  if (runtime::Scheduler::current() != nullptr) {
    throw RuntimeError(
        "run_workers() cannot be called from a running event loop: use a pool (Workers) there");
  }
  WorkerThreads threads(mains, options);
  Supervision supervision(threads, options.signals);
  std::exception_ptr leaving;
  try {
    if (options.signals) {
      run([&] { supervision.run(); });
    } else {
      EventLoop loop;
      const auto close = [&loop](void*) { loop.close(); };
      const std::unique_ptr<void, decltype(close)> closed(&loop, close);
      loop.run_until_complete([&] { supervision.run(); });
    }
  } catch (...) {
    leaving = std::current_exception();
    threads.interrupt_all();
  }
  threads.join();
  if (threads.failure() != nullptr) std::rethrow_exception(threads.failure());
  if (leaving != nullptr) std::rethrow_exception(leaving);
  if (supervision.terminations() > 1) throw SystemExit(128 + SIGTERM);  // mains did not end by themselves
  if (!has_results || !threads.any_cancelled()) return;
  if (supervision.terminations() > 0) throw SystemExit(128 + SIGTERM);
  throw CancelledError();
}

}  // namespace detail

void Worker::cancel_all() const noexcept { threads_.cancel_all(); }

void detail::worker_main_begins(Worker& worker) { WorkerThreads::main_begins(worker); }

// ---- the pool ---------------------------------------------------------------------------------------------

namespace {

// A loop of the pool runs until it is cancelled.
struct PoolMains final : detail::WorkerMains {
  struct One final : detail::WorkerMain {
    explicit One(Worker& its_worker) : worker(its_worker) {}
    void run(Runner& runner) override {
      for (;;) {
        try {
          runner.run([this] {
            detail::worker_main_begins(worker);
            Event never;
            await(never.wait());
          });
          return;
        } catch (...) {
          const std::exception_ptr exception = std::current_exception();
          if (!detail::leaves_the_loop(exception)) throw;
          // A call has thrown it, and whoever awaits that call gets it too. The other calls go on.
          detail::log_error("an exception that leaves the loop came out of a call in a pool of workers",
                            exception);
        }
      }
    }
    Worker& worker;
  };
  std::unique_ptr<detail::WorkerMain> make(Worker& worker) override { return std::make_unique<One>(worker); }
};

constinit PoolMains pool_mains;

}  // namespace

Workers::Workers(WorkersOptions options)
    : threads_(std::make_shared<detail::WorkerThreads>(pool_mains, std::move(options))) {
  threads_->start();
  threads_->wait_until_begun();
  if (!threads_->has_failed()) return;
  threads_->join();
  std::rethrow_exception(threads_->failure());
}

Workers::~Workers() {
  if (threads_->owns_this_thread()) {
    detail::log(LogLevel::CRITICAL, "a pool of workers was destroyed by one of its own tasks");
    std::terminate();
  }
  close();
}

std::size_t Workers::size() const noexcept { return threads_->size(); }

std::size_t Workers::unfinished() const noexcept { return threads_->unfinished(); }

void Workers::close() {
  if (threads_->owns_this_thread()) {
    throw RuntimeError("close() waits for the workers, so a task of theirs cannot call it");
  }
  threads_->refuse_calls();
  threads_->cancel_all();
  threads_->join();
}

Coroutine<void> Workers::aclose() {
  return Coroutine<void>([threads = threads_] {
    if (threads->owns_this_thread()) {
      throw RuntimeError("aclose() waits for the workers, so a task of theirs cannot await it");
    }
    threads->refuse_calls();
    threads->cancel_all();
    // A future of its own: it is cancelled with this task.
    const concurrent::Future<void> ended;
    threads->when_ended([ended] {
      if (ended.set_running_or_notify_cancel()) ended.set_result();
    });
    await(wrap_future(ended));
    threads->join();
  });
}

}  // namespace aiofiber
