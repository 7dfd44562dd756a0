// SPDX-License-Identifier: Apache-2.0
//
// Child processes of the facade in a program with hooks: their calls suspend nothing half-way, and the hooked
// waitpid() and read() of other code go on beside them.
//
// Labels: long
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/hooks.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;
using subprocess::DEVNULL;
using subprocess::PIPE;

TEST(HookedSubprocess, StartsWithoutATurnForOthers) {
  hooks::set_files_on_pool(true);
  run([] {
    bool other_ran = false;
    const auto other = create_task([&] { other_ran = true; });
    const Process process = await(
        create_subprocess_exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = DEVNULL, .cwd = "/"}));
    EXPECT_FALSE(other_ran);
    EXPECT_THROW(await(create_subprocess_exec({"no-such-program-here"}, {.stdin_ = PIPE})),
                 std::system_error);
    EXPECT_FALSE(other_ran);
    EXPECT_EQ(await(process.communicate("text")).first, "text");
    await(other);
  });
  hooks::set_files_on_pool(false);
}

TEST(HookedSubprocess, GoesOnBesideAHookedWaitpid) {
  run([] {
    const pid_t other = ::fork();
    if (other == 0) {
      ::usleep(20'000);
      ::_exit(5);
    }
    int status = 0;
    const auto waiting = create_task([&] { return ::waitpid(other, &status, 0); });
    const Process process = await(create_subprocess_shell("exit 4", {}));
    EXPECT_EQ(await(process.wait()), 4);
    EXPECT_EQ(await(waiting), other);
    EXPECT_EQ(WEXITSTATUS(status), 5);
  });
}

TEST(HookedSubprocess, ManyReuseTheNumbersOfDescriptors) {
  run([] {
    for (int round = 0; round < 3; ++round) {
      std::vector<Task<std::string>> tasks;
      for (int i = 0; i < 20; ++i) {
        tasks.push_back(create_task([i] {
          const Process process =
              await(create_subprocess_exec({"cat"}, {.stdin_ = PIPE, .stdout_ = PIPE, .stderr_ = PIPE}));
          return await(process.communicate(std::to_string(i))).first;
        }));
      }
      for (int i = 0; i < 20; ++i) EXPECT_EQ(await(tasks[static_cast<std::size_t>(i)]), std::to_string(i));
      // The same numbers for hooked reads.
      int ends[2];
      ASSERT_EQ(::pipe(ends), 0);
      const auto reading = create_task([&] {
        char c = 0;
        return ::read(ends[0], &c, 1) == 1 ? c : '?';
      });
      await(sleep(0s));
      ASSERT_EQ(::write(ends[1], "x", 1), 1);
      EXPECT_EQ(await(reading), 'x');
      ::close(ends[0]);
      ::close(ends[1]);
    }
  });
}

}  // namespace
}  // namespace aiofiber
