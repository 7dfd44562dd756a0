// SPDX-License-Identifier: Apache-2.0
//
// Programs that were built for the search for shared state, but with the wrong options: each says what to do.
// A child process becomes the program, so that its words and its exit code are seen.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

namespace {

[[noreturn]] void become(const char* program, const char* mib = "") {
  ::setenv("AIOFIBER_SHARED_STATE", "1", 1);
  ::setenv("AIOFIBER_SHARED_STATE_MIB", mib, 1);
  ::execl(program, program, nullptr);
  ::_exit(127);
}

#ifdef AIOFIBER_WITH_THREAD
TEST(Instrumented, RefusesThreadSanitizerBesideIt) {
  EXPECT_EXIT(become(AIOFIBER_WITH_THREAD), testing::ExitedWithCode(1),
              "^aiofiber: this program links both aiofiber::instrumented and ThreadSanitizer, .*leave "
              "-fsanitize=thread out of the options of the link");
}
#endif

#ifdef AIOFIBER_WITH_ADDRESS
TEST(Instrumented, RefusesAddressSanitizerBesideIt) {
  EXPECT_EXIT(become(AIOFIBER_WITH_ADDRESS), testing::ExitedWithCode(1),
              "^aiofiber: this program links both aiofiber::instrumented and AddressSanitizer, .*leave "
              "-fsanitize=address out of the options of the link");
}
#endif

#ifdef AIOFIBER_WITH_LEAK
TEST(Instrumented, RefusesLeakSanitizerBesideIt) {
  EXPECT_EXIT(become(AIOFIBER_WITH_LEAK), testing::ExitedWithCode(1),
              "^aiofiber: this program links both aiofiber::instrumented and LeakSanitizer, .*leave "
              "-fsanitize=leak out of the options of the link");
}
#endif

TEST(Instrumented, SaysThatNothingWasCompiledForIt) {
  EXPECT_EXIT(
      become(AIOFIBER_NOT_COMPILED), testing::ExitedWithCode(0),
      "links aiofiber::instrumented, but nothing of it was compiled with -fsanitize=thread.*compile it "
      "with the options");
}

TEST(SharedStateMemory, IsSetByTheEnvironment) {
  EXPECT_EXIT(become(AIOFIBER_NOT_COMPILED, "1"), testing::ExitedWithCode(0),
              "there is not enough memory for a copy of the static data");
}

TEST(SharedStateMemory, IsANumberOfMebibytes) {
  for (const char* const wrong : {"64M", "0", "-1", "99999999999999999999"}) {
    EXPECT_EXIT(become(AIOFIBER_NOT_COMPILED, wrong), testing::ExitedWithCode(0),
                std::string("AIOFIBER_SHARED_STATE_MIB=") + wrong +
                    " is not understood: give a number of MiB. Now it is 1024");
  }
}

}  // namespace
