// SPDX-License-Identifier: Apache-2.0
// Labels: slow
//
// `aiofiber ps` of a process with two runtimes: it shows the tasks, whichever runtime has them.
// Real processes, because preloading is done by the loader.
#include <cstdlib>

#include "support/processes.h"

namespace aiofiber::tool_test {
namespace {

// How many of the program's three tasks `ps` shows.
std::size_t sleepers_seen(const char* program, const char* preloaded) {
  const Running process({program, "sleepers", "3"}, 1, [=] {
    if (preloaded != nullptr) ::setenv("LD_PRELOAD", preloaded, 1);
  });
  const Finished result = run({AIOFIBER_COMMAND, "ps", process.pid()});
  EXPECT_EQ(result.code, 0) << result.err;
  return count(result.out, " sleeper-");
}

TEST(TwoRuntimes, TheProgramsIsShownWhereItIsInUse) {
  EXPECT_EQ(sleepers_seen(INSPECT_TARGET, nullptr), 3u);
  EXPECT_EQ(sleepers_seen(INSPECT_TARGET, HOOKS), 3u);
}

TEST(TwoRuntimes, TheHooksIsShownWhereItIsInUse) {
  EXPECT_EQ(sleepers_seen(INSPECT_THIN, nullptr), 3u);
  EXPECT_EQ(sleepers_seen(INSPECT_THIN, HOOKS), 3u);
}

}  // namespace
}  // namespace aiofiber::tool_test
