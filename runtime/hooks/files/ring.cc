// SPDX-License-Identifier: Apache-2.0
//
// The io_uring of a loop. Operations wait on their tasks' stacks, and a node of the ready queue submits them.
#include "hooks/files/ring.h"

#ifdef AIOFIBER_HAS_IO_URING

#include <liburing.h>
#include <sys/eventfd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/parker.h"
#include "aiofiber/runtime/engine/reactor.h"
#include "aiofiber/runtime/engine/scheduler.h"
#include "hooks/core/act.h"
#include "hooks/core/real.h"

namespace aiofiber::hooks {

namespace {

using runtime::Fiber;
using runtime::Scheduler;

// The kernel drops no completion when many come at once.
constexpr unsigned kNeeded = IORING_FEAT_NODROP;
constexpr unsigned kEntries = 256;

// Once this process is known to be unable to have a ring, no thread tries again.
constinit std::atomic<bool> unavailable{false};

bool is_switched_off() noexcept {
  const char* setting = ::secure_getenv("AIOFIBER_IO_URING");
  return setting != nullptr && std::strcmp(setting, "0") == 0;
}

// One request: a local variable of the task. The task leaves only after the answer.
struct Operation {
  runtime::Parker* waiting = nullptr;
  int result = 0;
  bool done = false;

  void answer(int answered) noexcept {
    result = answered;
    done = true;
    if (waiting != nullptr) waiting->unpark();
  }
};

// Whether a cancelled task may leave before the kernel has finished the operation.
enum class CutShort { kNever, kOnCancellation };

// Whether a failed submission may succeed at the next try.
bool may_pass(int error) noexcept {
  return error == EAGAIN || error == EBUSY || error == EINTR || error == ENOMEM;
}

class Ring final : public Scheduler::Attachment, runtime::Runnable, runtime::FdWaiter {
 public:
  // The current loop's ring. Null: it cannot have one.
  static Ring* get() noexcept;

  // `fill` prepares the request. False: it could not be submitted.
  template <class Fill>
  bool run(Fiber& fiber, Operation& operation, CutShort cut_short, Fill fill);

 private:
  Ring(Scheduler& scheduler, io_uring ring, int event) noexcept;
  ~Ring();
  static Ring* make(Scheduler& scheduler) noexcept;
  static void forget_after_fork() noexcept;

  io_uring_sqe* next_request() noexcept;
  void hand_in_soon() noexcept;
  void hand_in() noexcept;
  void take_answers() noexcept;
  void give_back_requests() noexcept;
  void cancel(Operation& operation) noexcept;
  void wait(Fiber& fiber, Operation& operation, CutShort cut_short);
  void wait_blocking(Operation& operation, CutShort cut_short) noexcept;

  Scheduler& scheduler_;
  io_uring ring_;
  unsigned in_flight_ = 0;  // operations; the reactor watches the ring while there are any
};

constinit thread_local Ring* thread_ring __attribute__((tls_model("initial-exec"))) = nullptr;

Ring::Ring(Scheduler& scheduler, io_uring ring, int event) noexcept
    : Attachment{nullptr, [](Attachment& self) noexcept { delete static_cast<Ring*>(&self); }},
      Runnable(Kind::kInternal, [](Runnable& node) { static_cast<Ring&>(node).hand_in(); }),
      FdWaiter(event, runtime::kReadable,
               [](FdWaiter& waiter, unsigned) noexcept {
                 std::uint64_t count;  // the read ends the event; the number does not matter
                 static_cast<void>(real::read(waiter.fd, &count, sizeof count));
                 static_cast<Ring&>(waiter).take_answers();
               }),
      scheduler_(scheduler),
      ring_(ring) {}

// The loop is closing: no task is suspended in it any more, so nothing is in flight.
Ring::~Ring() {
  ::io_uring_queue_exit(&ring_);
  runtime::Reactor::note_close(fd);
  real::close(fd);
  if (thread_ring == this) thread_ring = nullptr;
}

// The child shares the parent's descriptors but not its ring: it only has to close them.
void Ring::forget_after_fork() noexcept {
  if (thread_ring == nullptr) return;
  real::close(thread_ring->ring_.ring_fd);
  real::close(thread_ring->fd);
  thread_ring = nullptr;
}

Ring* Ring::make(Scheduler& scheduler) noexcept {
  if (is_switched_off()) {
    unavailable = true;
    return nullptr;
  }
  io_uring ring{};
  const int error = -::io_uring_queue_init(kEntries, &ring, 0);
  if (error != 0) {
    // A shortage of descriptors or memory may end; a refusal by a kernel or a container is permanent.
    if (error != EMFILE && error != ENFILE && error != ENOMEM) unavailable = true;
    return nullptr;
  }
  const int event = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  const bool usable = (ring.features & kNeeded) == kNeeded && event >= 0 &&
                      ::io_uring_register_eventfd(&ring, event) == 0 && ::io_uring_ring_dontfork(&ring) == 0;
  Ring* const made = usable ? new (std::nothrow) Ring(scheduler, ring, event) : nullptr;
  if (made == nullptr) {
    if (event >= 0) real::close(event);
    ::io_uring_queue_exit(&ring);
    unavailable = true;
    return nullptr;
  }
  static constinit runtime::ForkHandler forget_ring{runtime::ForkStep::kRing,
                                                    {.child = &Ring::forget_after_fork}};
  runtime::at_fork(forget_ring);
  scheduler.attach(*made);
  return made;
}

Ring* Ring::get() noexcept {
  if (unavailable.load(std::memory_order_relaxed)) return nullptr;
  Scheduler& scheduler = *runtime::current_fiber()->scheduler;
  if (thread_ring == nullptr) thread_ring = make(scheduler);
  // A second loop that exists on the same thread at the same time has no ring.
  return thread_ring != nullptr && &thread_ring->scheduler_ == &scheduler ? thread_ring : nullptr;
}

io_uring_sqe* Ring::next_request() noexcept {
  io_uring_sqe* request = ::io_uring_get_sqe(&ring_);
  if (request == nullptr) {
    hand_in();
    request = ::io_uring_get_sqe(&ring_);
  }
  return request;
}

// Submits after the tasks that are ready now have run, so that all their requests go in one call.
void Ring::hand_in_soon() noexcept {
  if (!queued) scheduler_.make_ready(*this);
}

void Ring::hand_in() noexcept {
  const int error = -::io_uring_submit(&ring_);
  if (error > 0 && !may_pass(error)) give_back_requests();
  if (error > 0 && ::io_uring_sq_ready(&ring_) > 0 && scheduler_.running()) hand_in_soon();
  take_answers();
}

// The kernel takes no more requests: the program has entered a sandbox, or was in one that allows only half
// of io_uring. Requests that the kernel has not seen leave the queue with the answer "not supported", so the
// pool runs them.
void Ring::give_back_requests() noexcept {
  unavailable = true;
  io_uring_sq& requests = ring_.sq;
  const unsigned unseen = __atomic_load_n(requests.khead, __ATOMIC_ACQUIRE);
  for (unsigned i = unseen; i != requests.sqe_tail; ++i) {
    auto* const operation = reinterpret_cast<Operation*>(requests.sqes[i & requests.ring_mask].user_data);
    if (operation != nullptr) operation->answer(-EOPNOTSUPP);
  }
  requests.sqe_head = requests.sqe_tail = unseen;
  __atomic_store_n(requests.ktail, unseen, __ATOMIC_RELEASE);
}

void Ring::take_answers() noexcept {
  io_uring_cqe* answer = nullptr;
  while (::io_uring_peek_cqe(&ring_, &answer) == 0) {
    auto* const operation = static_cast<Operation*>(::io_uring_cqe_get_data(answer));
    const int result = answer->res;
    ::io_uring_cqe_seen(&ring_, answer);
    if (operation == nullptr) continue;  // the completion of a cancellation
    operation->answer(result);
  }
}

void Ring::cancel(Operation& operation) noexcept {
  io_uring_sqe* const request = next_request();
  if (request == nullptr) return;  // then the task waits for the operation
  ::io_uring_prep_cancel(request, &operation, 0);
  ::io_uring_sqe_set_data(request, nullptr);
  hand_in();
}

// The loop is closing and does not run any more: the thread waits.
void Ring::wait_blocking(Operation& operation, CutShort cut_short) noexcept {
  if (cut_short == CutShort::kOnCancellation) {
    cancel(operation);
  } else {
    hand_in();  // if the kernel takes no more requests, they are given back
  }
  while (!operation.done) {
    io_uring_cqe* answer = nullptr;
    if (::io_uring_submit_and_wait(&ring_, 1) >= 0) ::io_uring_wait_cqe(&ring_, &answer);
    take_answers();
  }
}

void Ring::wait(Fiber& fiber, Operation& operation, CutShort cut_short) {
  bool was_interrupted = fiber.take_interrupted();
  while (!operation.done) {
    if (fiber.unwinding) {
      wait_blocking(operation, cut_short);
      break;
    }
    runtime::Parker parker;
    operation.waiting = &parker;
    parker.park(AIOFIBER_WAIT_OFFLOAD, 0);
    operation.waiting = nullptr;
    if (fiber.take_interrupted() && !std::exchange(was_interrupted, true) && !operation.done &&
        cut_short == CutShort::kOnCancellation)
      cancel(operation);
  }
  fiber.interrupted = was_interrupted;
  if (was_interrupted && cut_short == CutShort::kOnCancellation && operation.result == -EINTR)
    operation.result = -ECANCELED;
}

template <class Fill>
bool Ring::run(Fiber& fiber, Operation& operation, CutShort cut_short, Fill fill) {
  if (in_flight_ == 0 && !without_throwing([&] { scheduler_.reactor().add(*this); })) return false;
  ++in_flight_;
  io_uring_sqe* const request = next_request();
  if (request != nullptr) {
    fill(request);
    ::io_uring_sqe_set_data(request, &operation);
    hand_in_soon();
    wait(fiber, operation, cut_short);
  }
  if (--in_flight_ == 0) scheduler_.reactor().remove(*this);
  return request != nullptr;
}

// `result` is as a system call returns it. False: the pool must try.
template <class Result, class Fill>
bool run_in_ring(Result& result, CutShort cut_short, Fill fill) {
  Fiber& fiber = *runtime::current_fiber();
  if (fiber.unwinding && cut_short == CutShort::kNever) return false;  // then the thread makes the call
  if (cut_short == CutShort::kOnCancellation && (fiber.interrupted || fiber.unwinding)) {
    without_throwing(
        [] { runtime::Parker().park(AIOFIBER_WAIT_OFFLOAD, 0); });  // slows down a task that retries
    errno = ECANCELED;
    result = -1;
    return true;
  }
  const int errno_at_start = errno;
  Ring* const ring = Ring::get();
  Operation operation;
  if (ring == nullptr || !ring->run(fiber, operation, cut_short, fill)) {
    errno = errno_at_start;
    return false;
  }
  calls_since_turn = 0;
  const int error = operation.result < 0 ? -operation.result : 0;
  errno = errno_at_start;
  // The system call may do what this kernel's io_uring cannot do for this file.
  if (error == EAGAIN || error == EOPNOTSUPP || error == EINVAL || error == EINTR) return false;
  if (error != 0) errno = error;
  result = error != 0 ? -1 : operation.result;
  return true;
}

}  // namespace

bool ring_readv(int fd, const iovec* pieces, int count, off_t position, int flags, ssize_t& result) {
  return run_in_ring(result, CutShort::kOnCancellation, [=](io_uring_sqe* request) {
    ::io_uring_prep_readv2(request, fd, pieces, static_cast<unsigned>(count), static_cast<__u64>(position),
                           flags);
  });
}

bool ring_writev(int fd, const iovec* pieces, int count, off_t position, int flags, ssize_t& result) {
  return run_in_ring(result, CutShort::kNever, [=](io_uring_sqe* request) {
    ::io_uring_prep_writev2(request, fd, pieces, static_cast<unsigned>(count), static_cast<__u64>(position),
                            flags);
  });
}

bool ring_fsync(int fd, bool data_only, int& result) {
  return run_in_ring(result, CutShort::kNever, [=](io_uring_sqe* request) {
    ::io_uring_prep_fsync(request, fd, data_only ? IORING_FSYNC_DATASYNC : 0);
  });
}

}  // namespace aiofiber::hooks

#else

namespace aiofiber::hooks {

bool ring_readv(int, const iovec*, int, off_t, int, ssize_t&) { return false; }
bool ring_writev(int, const iovec*, int, off_t, int, ssize_t&) { return false; }
bool ring_fsync(int, bool, int&) { return false; }

}  // namespace aiofiber::hooks

#endif
