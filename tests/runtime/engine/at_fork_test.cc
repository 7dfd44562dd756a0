// SPDX-License-Identifier: Apache-2.0
//
// What runs at a fork, and in which order: before it from the last step to the first, after it from the first
// to the last, in the parent and in the child; once each, and without an allocation in the child.
#include "aiofiber/runtime/engine/at_fork.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "aiofiber/runtime/engine/clock.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/make_scheduler.h"
#include "aiofiber/runtime/trace/trace.h"

namespace {
std::atomic<int> allocations{0};

// Not inlined: g++ would take free() for the wrong end of a block of operator new.
[[gnu::noinline]] void* allocate(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void release(void* memory) noexcept { std::free(memory); }
}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }

namespace aiofiber::runtime {
namespace {

struct Log {
  char text[64] = {};
  unsigned length = 0;
  void add(char letter) noexcept {
    if (length + 1 < sizeof text) text[length++] = letter;
  }
};
Log before, after;
int allocations_before = 0;
bool saw_fiber = false;

template <char Letter>
constexpr ForkHandler::Functions log_of() noexcept {
  return {.prepare = []() noexcept { before.add(Letter); },
          .parent = []() noexcept { after.add(Letter); },
          .child = []() noexcept { after.add(static_cast<char>(Letter - 'a' + 'A')); }};
}

constinit ForkHandler of_scheduler{ForkStep::kScheduler, log_of<'s'>()};
constinit ForkHandler of_locks{ForkStep::kLocks, log_of<'l'>()};
constinit ForkHandler of_other_locks{ForkStep::kLocks, log_of<'m'>()};  // those of a second copy of the hooks
constinit ForkHandler of_trace{ForkStep::kTrace, log_of<'t'>()};
constinit ForkHandler of_stdio{ForkStep::kStdio, log_of<'f'>()};
constinit ForkHandler of_ring{ForkStep::kRing, log_of<'r'>()};
const char another_module = 0;
constinit ForkHandler of_unloaded{ForkStep::kTrace, log_of<'u'>(), &another_module};

void register_all() {
  for (ForkHandler* handler :
       {&of_ring, &of_locks, &of_trace, &of_scheduler, &of_other_locks, &of_stdio, &of_ring}) {
    at_fork(*handler);
  }
}

// The child's exit code is the number of the first expectation that does not hold there, or 0.
template <class Body>
int in_child(Body body) {
  before = after = {};
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  return WEXITSTATUS(status);
}

TEST(AtFork, RunsInTheOrderThatIsWritten) {
  register_all();
  const int failed = in_child([] {
    if (std::string(before.text) != "rftmls") return 1;
    if (std::string(after.text) != "SLMTFR") return 2;
    return 0;
  });
  EXPECT_EQ(failed, 0);
  EXPECT_STREQ(before.text, "rftmls");
  EXPECT_STREQ(after.text, "slmtfr");
}

TEST(AtFork, AChildForksAndRegistersToo) {
  register_all();
  const std::uint32_t generation = fork_generation();
  const int failed = in_child([generation] {
    if (fork_generation() != generation + 1) return 1;
    at_fork(of_unloaded);
    const int failed_below = in_child([generation] {
      if (fork_generation() != generation + 2) return 1;
      return std::string(after.text) == "SLMTUFR" ? 0 : 2;
    });
    if (failed_below != 0) return 10 + failed_below;
    return std::string(after.text) == "slmtufr" ? 0 : 3;
  });
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(fork_generation(), generation);
}

TEST(AtFork, ForgetsAModuleThatIsUnloaded) {
  register_all();
  at_fork(of_unloaded);
  forget_fork_handlers(&another_module);
  EXPECT_EQ(in_child([] { return std::string(after.text) == "SLMTFR" ? 0 : 1; }), 0);
  at_fork(of_unloaded);  // loaded again
  EXPECT_EQ(in_child([] { return std::string(after.text) == "SLMTUFR" ? 0 : 1; }), 0);
  forget_fork_handlers(&another_module);
}

// The real handlers of the scheduler and of the trace, with the child's allocations counted from before the
// fork.
TEST(AtFork, NoFiberIsCurrentAfterTheFirstStepAndNothingIsAllocated) {
  static constinit ForkHandler looks{
      ForkStep::kLocks,
      {.prepare = []() noexcept { allocations_before = allocations.load(std::memory_order_relaxed); },
       .child = []() noexcept { saw_fiber = current_fiber() != nullptr; }}};
  at_fork(looks);
  const auto scheduler = make_scheduler(SteadyClock::instance());
  char path[] = "/tmp/at_fork_test_XXXXXX";
  ::close(::mkstemp(path));
  start_trace(path);
  pid_t child = -1;
  scheduler->make_ready(scheduler->create_fiber(
      [](Fiber& fiber) noexcept {
        const pid_t forked = ::fork();
        if (forked == 0) {
          const int made = allocations.load(std::memory_order_relaxed) - allocations_before;
          if (made != 0) ::_exit(1);
          if (saw_fiber || current_fiber() != nullptr) ::_exit(2);
          if (trace_is_on) ::_exit(3);
          ::_exit(0);
        }
        *static_cast<pid_t*>(fiber.owner) = forked;
        fiber.scheduler->stop();
      },
      &child, 0, 0));
  scheduler->run();
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  stop_trace();
  ::unlink(path);
}

}  // namespace
}  // namespace aiofiber::runtime
