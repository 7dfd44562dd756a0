// SPDX-License-Identifier: Apache-2.0
//
// Variables with a value per task: old code in its idioms (per_task_legacy.c) is right in 25 tasks at once,
// and wrong without. Then each rule: where a value comes from, who sees it, its end, and every refusal.
//
// A registration is for good, so tests of much of it run in a forked child. Waits are sched_yield(), so
// the order of the tasks is always the same.
// Labels: threads long
#include <gtest/gtest.h>

#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <system_error>
#include <thread>

#include "aiofiber/hooks.h"
#include "aiofiber/per_task.h"
#include "per_task_legacy.h"
#include "support/fibers.h"

namespace {
std::atomic<long> allocations_left{0};  // the one that makes it 0 fails; at most 0: none does
std::atomic<long> live_blocks{0};

[[gnu::noinline]] void* allocate(std::size_t bytes) {
  if (allocations_left.load() > 0 && allocations_left.fetch_sub(1) == 1) throw std::bad_alloc();
  void* const block = std::malloc(bytes);
  if (block == nullptr) throw std::bad_alloc();
  ++live_blocks;
  return block;
}

[[gnu::noinline]] void release(void* block) noexcept {
  if (block != nullptr) --live_blocks;
  std::free(block);
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes); }
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void operator delete(void* block) noexcept { release(block); }
void operator delete[](void* block) noexcept { release(block); }
void operator delete(void* block, std::size_t) noexcept { release(block); }
void operator delete[](void* block, std::size_t) noexcept { release(block); }

static int twice = 40;  // per_task_legacy.c has one too

namespace aiofiber::hooks_test {
namespace {

using hooks::per_task;
using hooks::per_task_symbol;

constexpr int kTasks = 25;

// Runs fn() in a forked child: what it registers is gone afterwards. Its failures are printed by the child.
template <class Fn>
void in_child(Fn fn) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    fn();
    std::fflush(nullptr);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the child's status is " << status;
}

// The errno of a refusal, and its text; 0: accepted.
struct Refusal {
  int error = 0;
  std::string text;
};
template <class Fn>
Refusal refusal_of(Fn fn) {
  try {
    fn();
  } catch (const std::system_error& error) {
    return {error.code().value(), error.what()};
  }
  return {};
}

// How many of so many tasks at once get a wrong answer.
int wrong_answers(int (*legacy)(int)) {
  int wrong = 0;
  Fibers fibers;
  for (int i = 0; i < kTasks; ++i) fibers.spawn([&wrong, legacy, i] { wrong += legacy(i) == 1 ? 0 : 1; });
  fibers.run();
  return wrong;
}

void start_with_null(void* value, std::size_t bytes, void*) { std::memset(value, 0, bytes); }

// ---- the idioms

struct Idiom {
  const char* name;
  int (*legacy)(int);
  std::vector<const char*> symbols;
};
void PrintTo(const Idiom& idiom, std::ostream* out) { *out << idiom.name; }

class LegacyCode : public ::testing::TestWithParam<Idiom> {};

TEST_P(LegacyCode, IsWrongInTasksThatShareItsVariables) {
  in_child([] {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(GetParam().legacy(i), 1) << "one after the other it is right";
    EXPECT_GT(wrong_answers(GetParam().legacy), 0);
  });
}

TEST_P(LegacyCode, IsRightWithAValuePerTask) {
  in_child([] {
    for (const char* symbol : GetParam().symbols) EXPECT_EQ(aiofiber_per_task(symbol), 0) << symbol;
    EXPECT_EQ(wrong_answers(GetParam().legacy), 0);
    EXPECT_EQ(wrong_answers(GetParam().legacy), 0) << "again";
  });
}

INSTANTIATE_TEST_SUITE_P(Idioms, LegacyCode,
                         ::testing::Values(Idiom{"StaticBuffer", legacy_upload, {"chunk"}},
                                           Idiom{"SetCallRestore", legacy_post, {"legacy_method"}},
                                           Idiom{"Iterator", legacy_words, {"rest"}},
                                           Idiom{"Options", legacy_options, {"optarg", "optind"}},
                                           Idiom{"CachedConnection", legacy_fetch, {"cached"}},
                                           Idiom{"ErrorAndCounter", legacy_fails, {"legacy_error", "calls"}}),
                         [](const auto& of_idiom) { return std::string(of_idiom.param.name); });

TEST(LegacyConnection, IsReleasedWithItsTask) {
  in_child([] {
    per_task_symbol("cached", {.init = start_with_null, .release = legacy_release});
    EXPECT_EQ(wrong_answers(legacy_fetch), 0);
    const long before = live_blocks;  // the first loop made what is kept
    EXPECT_EQ(wrong_answers(legacy_fetch), 0);
    EXPECT_EQ(live_blocks, before);
    EXPECT_EQ(legacy_connections, 0);
  });
}

// ---- where a value comes from, and who sees it

TEST(PerTaskValue, BeginsAsTheCreatorsOneAtCreation) {
  static int variable = 1;
  per_task(&variable);
  Fibers fibers;
  variable = 2;
  fibers.spawn([&] {
    EXPECT_EQ(variable, 2);
    variable = 10;
    fibers.spawn([] { EXPECT_EQ(variable, 10); });
    variable = 11;
    ::sched_yield();
    EXPECT_EQ(variable, 11);
  });
  variable = 3;
  fibers.spawn([] { EXPECT_EQ(variable, 3); });
  fibers.run();
  EXPECT_EQ(variable, 3) << "outside tasks";
}

TEST(PerTaskValue, BeginsAsItWasAtTheRegistrationIfSoWished) {
  static char text[16] = "first";
  per_task(text, {.from_registration = true});
  std::strcpy(text, "second");
  Fibers fibers;
  fibers.spawn([&] {
    EXPECT_STREQ(text, "first");
    std::strcpy(text, "third");
    fibers.spawn([] { EXPECT_STREQ(text, "first"); });
  });
  fibers.run();
  EXPECT_STREQ(text, "second");
}

struct Counts {
  int made = 0, released = 0;
  long last_values = 0;
};

TEST(PerTaskValue, IsMadeAndReleasedByFunctions) {
  static long variable = 5;
  static Counts counts;
  per_task(&variable, {.init =
                           [](void* value, std::size_t bytes, void* argument) {
                             EXPECT_EQ(bytes, sizeof variable);
                             EXPECT_EQ(*static_cast<long*>(value), variable) << "a copy of the creator's";
                             EXPECT_NE(value, &variable);
                             *static_cast<long*>(value) = 100;
                             ++static_cast<Counts*>(argument)->made;
                           },
                       .release =
                           [](void* value, std::size_t, void* argument) {
                             auto& all = *static_cast<Counts*>(argument);
                             ++all.released;
                             all.last_values += *static_cast<long*>(value);
                           },
                       .argument = &counts});
  Fibers fibers;
  for (int i = 1; i <= 3; ++i) {
    fibers.spawn([i] {
      EXPECT_EQ(variable, 100);
      variable = i;
      ::sched_yield();
      EXPECT_EQ(variable, i);
    });
  }
  EXPECT_EQ(counts.made, 3);
  runtime::Fiber& unstarted = fibers.scheduler().create_fiber([](runtime::Fiber&) noexcept {}, nullptr, 0, 0);
  fibers.scheduler().destroy_unstarted(unstarted);
  EXPECT_EQ(counts.last_values, 100) << "of a task that never ran";
  fibers.run();
  EXPECT_EQ(counts.made, 4);
  EXPECT_EQ(counts.released, 4);
  EXPECT_EQ(counts.last_values, 100 + 1 + 2 + 3);
  EXPECT_EQ(variable, 5);
}

TEST(PerTaskValue, OfTheLoopsCallbacksIsTheOneOutside) {
  static int variable = 1;
  per_task(&variable);
  struct Callback : runtime::Runnable {
    explicit Callback(std::vector<int>& into)
        : Runnable(Kind::kCallback,
                   [](Runnable& self) {
                     static_cast<Callback&>(self).seen.push_back(variable);
                     variable += 100;
                   }),
          seen(into) {}
    std::vector<int>& seen;
  };
  std::vector<int> seen;
  Callback first(seen), second(seen);
  Fibers fibers;
  fibers.spawn([&] {
    variable = 2;
    fibers.scheduler().make_ready(first);
    ::sched_yield();
    EXPECT_EQ(variable, 2);
    fibers.scheduler().make_ready(second);
    ::sched_yield();
    EXPECT_EQ(variable, 2);
  });
  fibers.run();
  EXPECT_EQ(seen, (std::vector<int>{1, 101}));
  EXPECT_EQ(variable, 201);
}

TEST(PerTaskValue, SurvivesManyTasksThatEndAndBegin) {
  static int variable = 0;
  per_task(&variable);
  const long before = live_blocks;
  {
    Fibers fibers;
    fibers.spawn([&] {
      for (int i = 0; i < 1000; ++i) {
        variable = i;
        fibers.spawn([i] {
          EXPECT_EQ(variable, i);
          if (i % 3 == 0) ::sched_yield();
          variable = -1;
        });
        if (i % 7 == 0) ::sched_yield();
        EXPECT_EQ(variable, i);
      }
    });
    fibers.run();
  }
  EXPECT_EQ(live_blocks, before);
}

// ---- registration while tasks run

TEST(RegisteredWhileTasksRun, AVariableHasItsValueOfThatMomentInAllOfThem) {
  static int early = 1, late = 2;
  per_task(&early);
  Fibers fibers;
  std::vector<int> seen;
  for (int i = 0; i < 3; ++i) {
    fibers.spawn([&, i] {
      early = late = 10 + i;
      ::sched_yield();
      if (i == 1) {
        late = 20;
        per_task(&late);
        late = 21;
        fibers.spawn([&] { seen.push_back(late); });
      }
      ::sched_yield();
      seen.push_back(late);
      EXPECT_EQ(early, 10 + i);
      late = 30 + i;
      ::sched_yield();
      EXPECT_EQ(late, 30 + i);
    });
  }
  fibers.spawn([&] { seen.push_back(late * 100); });  // ends before
  fibers.run();
  EXPECT_EQ(seen, (std::vector<int>{1200, 20, 21, 21, 20}));
  EXPECT_EQ(late, 20) << "outside";
}

// The first variable of a process: ctest runs these in one of their own.
class FirstPerTaskVariable : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!hooks::per_task_variables().empty()) GTEST_SKIP() << "other tests have registered variables";
  }
};

TEST_F(FirstPerTaskVariable, FindsTasksWithoutValues) {
  in_child([] {
    static int first = 1;
    Fibers fibers;
    fibers.spawn([] {
      first = 5;
      ::sched_yield();
      EXPECT_EQ(first, 6);
      first = 50;
      ::sched_yield();
      EXPECT_EQ(first, 50);
    });
    fibers.spawn([] {
      first = 6;
      per_task(&first);
      first = 60;
      ::sched_yield();
      EXPECT_EQ(first, 60);
    });
    fibers.spawn([] { EXPECT_EQ(first, 6); });  // not yet begun
    fibers.run();
    EXPECT_EQ(first, 6);
  });
}

// ---- refusals

TEST(PerTaskRefusal, NamesWhatIsNoVariable) {
  EXPECT_EQ(refusal_of([] { per_task(nullptr, 8); }).error, EINVAL);
  static int variable;
  EXPECT_EQ(refusal_of([] { per_task(&variable, 0); }).error, EINVAL);
  int local = 0;
  EXPECT_EQ(refusal_of([&] { per_task(&local); }).error, EINVAL);
  EXPECT_EQ(refusal_of([] { per_task(reinterpret_cast<void*>(UINTPTR_MAX - 3), 8); }).error, EFAULT);
  EXPECT_EQ(refusal_of([] { per_task(&variable, {.release = legacy_release}); }).error, EINVAL);
  const Refusal constant = refusal_of([] { per_task(const_cast<int*>(&legacy_constant), sizeof(int)); });
  EXPECT_EQ(constant.error, EFAULT);
  EXPECT_NE(constant.text.find("cannot be written"), std::string::npos) << constant.text;
  const Refusal of_thread = refusal_of([] { per_task(&legacy_of_thread); });
  EXPECT_EQ(of_thread.error, ENOTSUP);
  EXPECT_NE(of_thread.text.find("thread_local"), std::string::npos) << of_thread.text;
  void* const pages = ::mmap(nullptr, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char* const second = static_cast<char*>(pages) + 4096;
  ::mprotect(second, 4096, PROT_READ);
  EXPECT_EQ(refusal_of([&] { per_task(second - 8, 16); }).error, EFAULT) << "its end is read-only";
  ::munmap(second, 4096);
  EXPECT_EQ(refusal_of([&] { per_task(second - 8, 16); }).error, EFAULT) << "its end is not there";
  ::munmap(pages, 3 * 4096);
  void* const shared = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  EXPECT_EQ(refusal_of([&] { per_task(shared, 16); }).error, EFAULT) << "other processes see it";
  ::munmap(shared, 4096);
}

TEST(PerTaskRefusal, OfALocalVariableOfATask) {
  Fibers fibers;
  fibers.spawn([] {
    int local = 0;
    EXPECT_EQ(refusal_of([&] { per_task(&local); }).error, EINVAL);
  });
  fibers.run();
}

TEST(PerTaskRefusal, OfOverlappingAndOfTooMuch) {
  static char array[100];
  per_task(&array[10], 20);
  const std::size_t count = hooks::per_task_variables().size();
  per_task(&array[10], 20);  // the same again
  EXPECT_EQ(hooks::per_task_variables().size(), count);
  EXPECT_EQ(refusal_of([] { per_task(array); }).error, EEXIST);
  EXPECT_EQ(refusal_of([] { per_task(&array[29], 1); }).error, EEXIST);
  EXPECT_EQ(refusal_of([] { per_task(&array[10], 20, {.from_registration = true}); }).error, EEXIST);
  EXPECT_EQ(refusal_of([] { per_task(&array[30], 1); }).error, 0) << "its neighbour";
  static char large[(1 << 20) + 1];
  EXPECT_EQ(refusal_of([] { per_task(large); }).error, E2BIG);
  EXPECT_EQ(refusal_of([] { per_task(large, 1 << 20); }).error, E2BIG) << "in all";
}

TEST(PerTaskRefusal, OfAnInitThatCreatesOrRegisters) {
  in_child([] {
    static int variable, another;
    static Fibers* all = nullptr;
    static int refused = 0;
    per_task(&variable, {.init = [](void*, std::size_t, void*) {
      if (refusal_of([] { per_task(&another); }).error == EDEADLK) ++refused;
      if (refusal_of([] { all->scheduler().create_fiber(nullptr, nullptr, 0, 0); }).error == EDEADLK)
        ++refused;
    }});
    Fibers fibers;
    all = &fibers;
    fibers.spawn([&] { fibers.spawn([] {}); });
    fibers.run();
    EXPECT_EQ(refused, 4) << "before the loop runs, and in a task";
  });
}

// ---- names

#if defined(__clang__) && defined(__has_feature)
constexpr bool kClangsAddressSanitizer = __has_feature(address_sanitizer);
#else
constexpr bool kClangsAddressSanitizer = false;
#endif

TEST(PerTaskName, ThatIsMissingOrAmbiguousIsAnError) {
  legacy_twice();
  legacy_in_functions(++twice);
  const Refusal missing = refusal_of([] { per_task_symbol("no_such_variable"); });
  EXPECT_EQ(missing.error, ENOENT);
  EXPECT_NE(missing.text.find("'no_such_variable'"), std::string::npos) << missing.text;
  const Refusal several = refusal_of([] { per_task_symbol("twice"); });
  EXPECT_EQ(several.error, ENOTUNIQ);
  EXPECT_NE(several.text.find("per_task_legacy.c"), std::string::npos) << several.text;
  EXPECT_NE(several.text.find("per_task_test.cc"), std::string::npos) << several.text;
  EXPECT_EQ(refusal_of([] { per_task_symbol("in_one"); }).error, ENOTUNIQ) << "two in one function";
  EXPECT_EQ(refusal_of([] { per_task_symbol("legacy_upload"); }).error, EFAULT) << "a function";
  EXPECT_EQ(refusal_of([] { per_task_symbol("legacy_constant"); }).error, EFAULT);
  EXPECT_EQ(refusal_of([] { per_task_symbol("legacy_of_thread"); }).error, ENOTSUP);
  EXPECT_EQ(refusal_of([] { per_task_symbol(""); }).error, ENOENT);
  EXPECT_EQ(refusal_of([] { per_task_symbol("per_task_legacy.c:"); }).error, ENOENT);
  EXPECT_EQ(refusal_of([] { per_task_symbol("other.c:twice"); }).error, ENOENT);
  EXPECT_EQ(aiofiber_per_task("no_such_variable"), ENOENT);
  EXPECT_EQ(aiofiber_per_task(nullptr), ENOENT);
}

namespace names {
int in_namespace = 1;
}

TEST(PerTaskName, FindsAVariableByItsFileNamespaceOrFunction) {
  static int in_this_test = 1;
  ++in_this_test, ++names::in_namespace;
  const auto last = [] { return hooks::per_task_variables().back(); };
  // clang's AddressSanitizer counts its own bytes behind a variable.
  constexpr std::size_t kUnit = kClangsAddressSanitizer ? 32 : 1;
  const auto has_size_of = [&](std::size_t bytes) {
    return (bytes + kUnit - 1) / kUnit * kUnit == last().bytes;
  };
  per_task_symbol("per_task_test.cc:twice");
  EXPECT_EQ(last().address, &twice);
  per_task_symbol("aiofiber::hooks_test::(anonymous namespace)::names::in_namespace");
  EXPECT_EQ(last().address, &names::in_namespace);
  per_task_symbol("in_this_test");
  EXPECT_EQ(last().address, &in_this_test);
  legacy_beside();
  EXPECT_EQ(refusal_of([] { per_task_symbol("beside"); }).error, ENOTUNIQ);
  per_task_symbol("per_task_legacy.c:beside");
  EXPECT_TRUE(has_size_of(sizeof(long))) << "not the one in a function: " << last().bytes;
  per_task_symbol("per_task_legacy.c:twice");
  EXPECT_EQ(last().name, "per_task_legacy.c:twice");
  EXPECT_TRUE(has_size_of(sizeof(int))) << last().bytes;
  EXPECT_NE(last().address, &twice);
}

TEST(PerTaskName, OfALibrarysVariableIsTheOneThatTheProgramUses) {
  in_child([] {
    per_task_symbol("optind");
    EXPECT_EQ(hooks::per_task_variables().back().address, &optind);
  });
}

// ---- calls that other threads or the kernel make for a suspended task

char user_name[32], shell_command[64];
alignas(4096) char page[4096];

TEST(PerTaskPool, AnArgumentInAVariableIsTheTasksOwn) {
  per_task(user_name);
  per_task(shell_command);
  const char* const names[] = {"root", "daemon", "bin", "nobody"};
  Fibers fibers;
  for (int i = 0; i < 12; ++i) {
    fibers.spawn([name = names[i % 4], i] {
      std::strcpy(user_name, name);
      const passwd* const user = ::getpwnam(user_name);
      ASSERT_NE(user, nullptr) << name;
      EXPECT_STREQ(user->pw_name, name);
      EXPECT_STREQ(user_name, name);
      std::snprintf(shell_command, sizeof shell_command, "exit %d", i);
      const int status = std::system(shell_command);
      EXPECT_EQ(WEXITSTATUS(status), i);
    });
  }
  fibers.run();
}

TEST(PerTaskPool, ABufferThatTheDiskFillsIsTheTasksOwn) {
  per_task(page);
  char path[] = "per_task_test_XXXXXX";
  const int file = ::mkstemp(path);
  ASSERT_GE(file, 0);
  for (char letter = 'a'; letter < 'a' + 8; ++letter) {
    std::memset(page, letter, sizeof page);
    ASSERT_EQ(::write(file, page, sizeof page), ssize_t{4096});
  }
  ::close(file);
  const int direct = ::open(path, O_RDWR | O_DIRECT);  // always waits for the disk
  ::unlink(path);
  if (direct < 0) GTEST_SKIP() << "no O_DIRECT here";
  Fibers fibers;
  for (int i = 0; i < 8; ++i) {
    fibers.spawn([=] {
      const off_t at = i * 4096;
      std::memset(page, '-', sizeof page);
      ASSERT_EQ(::pread(direct, page, sizeof page, at), ssize_t{4096});
      for (const char byte : page) ASSERT_EQ(byte, 'a' + i);
      std::memset(page, 'A' + i, sizeof page);
      ASSERT_EQ(::pwrite(direct, page, sizeof page, at), ssize_t{4096});
      std::memset(page, '-', sizeof page);
      ::sched_yield();
      ASSERT_EQ(::pread(direct, page, sizeof page, at), ssize_t{4096});
      for (const char byte : page) ASSERT_EQ(byte, 'A' + i);
    });
  }
  fibers.run();
  ::close(direct);
}

// ---- several loops and threads

// Runs fn() on another thread and waits for its end.
template <class Fn>
void on_thread(Fn fn) {
  const hooks::Disable off;  // join() in a task blocks it, and nothing else has to run meanwhile
  std::thread(fn).join();
}

TEST(PerTaskThreads, ASecondLoopIsRefusedWhileTheFirstRuns) {
  static int shared = 1;
  per_task(&shared);
  Fibers first;
  first.spawn([] {
    shared = 2;
    on_thread([] {
      Fibers second;
      const Refusal of_task = refusal_of([&] { second.scheduler().create_fiber(nullptr, nullptr, 0, 0); });
      EXPECT_EQ(of_task.error, EBUSY);
      EXPECT_NE(of_task.text.find("loop of another thread"), std::string::npos) << of_task.text;
      second.scheduler().stop();
      EXPECT_EQ(refusal_of([&] { second.scheduler().run(); }).error, EBUSY);
      static int another;
      EXPECT_EQ(refusal_of([] { per_task(&another); }).error, EBUSY);
    });
    EXPECT_EQ(shared, 2);
  });
  first.run();
  on_thread([] {
    Fibers second;
    second.spawn([] {
      EXPECT_EQ(shared, 1);
      shared = 3;
      ::sched_yield();
      EXPECT_EQ(shared, 3);
    });
    second.run();
  });
  EXPECT_EQ(shared, 1) << "one after the other they may";
}

TEST(PerTaskThreads, AThreadThatPromisedNotToUseThemRunsBeside) {
  static int shared = 1;
  per_task(&shared);
  Fibers first;
  int steps = 0;
  first.spawn([&] {
    shared = 2;
    ::sched_yield();
    on_thread([&] {
      hooks::set_per_task_on_this_thread(false);
      Fibers second;
      for (int i = 0; i < 3; ++i) {
        second.spawn([&] {
          ++steps;
          EXPECT_EQ(refusal_of([] { hooks::set_per_task_on_this_thread(true); }).error, EBUSY);
          ::sched_yield();
          ++steps;
        });
      }
      second.run();
      hooks::set_per_task_on_this_thread(true);
    });
    ::sched_yield();
    EXPECT_EQ(shared, 2);
  });
  first.spawn([] { shared = 9; });
  first.run();
  EXPECT_EQ(steps, 6);
  EXPECT_EQ(aiofiber_per_task_on_this_thread(1), 0);
}

TEST_F(FirstPerTaskVariable, IsRefusedWhileTwoLoopsRun) {
  in_child([] {
    static int variable;
    Fibers first;
    first.spawn([] {
      on_thread([] {
        Fibers second;
        second.spawn([] { EXPECT_EQ(refusal_of([] { per_task(&variable); }).error, EBUSY); });
        second.run();
      });
      EXPECT_EQ(refusal_of([] { per_task(&variable); }).error, 0) << "one loop is left";
    });
    first.run();
  });
}

// ---- fork, shortage of memory, closing

TEST(PerTaskFork, TheChildKeepsTheTasksValueAndMayRunALoop) {
  static int variable = 1;
  per_task(&variable);
  Fibers fibers;
  for (int i = 0; i < 2; ++i) {
    fibers.spawn([i] {
      variable = 10 + i;
      ::sched_yield();
      in_child([i] {
        EXPECT_EQ(variable, 10 + i);
        Fibers of_child;
        of_child.spawn([i] {
          EXPECT_EQ(variable, 10 + i);
          variable = 20;
          ::sched_yield();
          EXPECT_EQ(variable, 20);
        });
        of_child.spawn([i] { EXPECT_EQ(variable, 10 + i); });
        of_child.run();
        EXPECT_EQ(variable, 10 + i);
      });
      EXPECT_EQ(variable, 10 + i);
    });
  }
  fibers.run();
  EXPECT_EQ(variable, 1);
}

TEST(PerTaskMemory, ThatIsMissingIsAnErrorOfTheCreatorOrOfTheRegistration) {
  in_child([] {
    static int variable = 1, second = 2;
    const auto nothing = [](runtime::Fiber&) noexcept {};
    Fibers fibers;
    runtime::Fiber& exists = fibers.scheduler().create_fiber(nothing, nullptr, 0, 0);
    const long before = live_blocks;
    int failures = 0;
    for (int nth = 1; failures == nth - 1; ++nth) {
      allocations_left = nth;
      try {
        per_task(&variable);
      } catch (const std::bad_alloc&) {
        ++failures;
        EXPECT_EQ(live_blocks, before);
      }
      allocations_left = 0;
    }
    EXPECT_GE(failures, 3);
    const long registered = live_blocks;
    int of_creation = 0;
    for (int nth = 1; of_creation == nth - 1; ++nth) {
      allocations_left = nth;
      try {
        fibers.scheduler().destroy_unstarted(fibers.scheduler().create_fiber(nothing, nullptr, 0, 0));
      } catch (const std::bad_alloc&) {
        ++of_creation;
      }
      allocations_left = 0;
      EXPECT_EQ(live_blocks, registered);
    }
    EXPECT_EQ(of_creation, 2);
    per_task(&second);
    fibers.scheduler().destroy_unstarted(exists);
    EXPECT_EQ(fibers.scheduler().fibers_alive(), 0u);
  });
}

TEST(PerTaskUnwinding, DestructorsSeeTheirTasksValue) {
  static int variable = 1;
  per_task(&variable);
  static int seen = 0;
  struct Looks {
    ~Looks() { seen = seen * 100 + variable; }
  };
  const auto close_over_tasks = [] {
    Fibers fibers;
    runtime::Fiber* suspended[2];
    for (int i = 0; i < 2; ++i) {
      suspended[i] = &fibers.scheduler().create_fiber(
          [](runtime::Fiber& fiber) noexcept {
            try {
              const Looks looks;
              variable = 10 + static_cast<int>(reinterpret_cast<std::intptr_t>(fiber.owner));
              fiber.state = AIOFIBER_WAITING;
              fiber.scheduler->suspend();
              throw runtime::ForcedUnwind();
            } catch (const runtime::ForcedUnwind&) {
            }
          },
          reinterpret_cast<void*>(static_cast<std::intptr_t>(i)), 0, 0);
      fibers.scheduler().make_ready(*suspended[i]);
    }
    fibers.scheduler().stop();
    if (runtime::Scheduler::current() == nullptr) fibers.scheduler().run();
    for (runtime::Fiber* fiber : suspended) EXPECT_TRUE(fibers.scheduler().unwind(*fiber));
  };
  close_over_tasks();
  EXPECT_EQ(seen, 1011);
  EXPECT_EQ(variable, 1);
}

}  // namespace
}  // namespace aiofiber::hooks_test
