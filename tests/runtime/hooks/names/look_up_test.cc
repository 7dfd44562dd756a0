// SPDX-License-Identifier: Apache-2.0
//
// Look-ups of names in fibers: other fibers run meanwhile, and nobody has to wait for a server that is
// silent. Real time: the resolver knows no other.
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <optional>

#include "aiofiber/runtime/arch/arch.h"
#include "silent_server.h"
#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

TEST(HookedGetaddrinfo, FindsLocalhostFromTwentyFibers) {
  Fibers fibers;
  int found = 0;
  for (int i = 0; i < 20; ++i) {
    fibers.spawn([&] {
      addrinfo hints{};
      hints.ai_family = AF_INET;
      hints.ai_socktype = SOCK_STREAM;
      addrinfo* result = nullptr;
      if (::getaddrinfo("localhost", "80", &hints, &result) != 0) return;
      found += reinterpret_cast<sockaddr_in*>(result->ai_addr)->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
      ::freeaddrinfo(result);
    });
  }
  fibers.run();
  EXPECT_EQ(found, 20);
}

TEST(HookedGetaddrinfo, IsLeftBehindByACancelledTask) {
  const SilentServer server;
  Fibers fibers;
  Outcome seen;
  runtime::Fiber& asks = fibers.spawn([&] {
    addrinfo* result = nullptr;
    seen = outcome_of([&] { return ::getaddrinfo("localhost", "80", nullptr, &result); });
    EXPECT_EQ(result, nullptr);
  });
  fibers.spawn([&] { EXPECT_TRUE(Fibers::interrupt(asks)); });
  fibers.run();
  EXPECT_EQ(seen.value, EAI_SYSTEM);
  EXPECT_EQ(seen.error, ECANCELED);
}

sigjmp_buf name_too_late;

TEST(HookedGetaddrinfo, IsLeftBehindByAnAlarmsJump) {
  if (AIOFIBER_ARCH_X86_64 == 0) GTEST_SKIP() << "the hooks do not follow jumps there";
  const SilentServer server;
  Fibers fibers;
  std::atomic<int> late = 0;  // no jump takes it back
  fibers.spawn([&] {
    ::signal(SIGALRM, [](int) { siglongjmp(name_too_late, 1); });
    while (late < 3) {
      if (sigsetjmp(name_too_late, 1) != 0) {
        ++late;
        continue;
      }
      addrinfo* result = nullptr;
      ::ualarm(1000, 0);
      ::getaddrinfo("localhost", "80", nullptr, &result);
      ADD_FAILURE() << "no server answers";
    }
    ::signal(SIGALRM, SIG_DFL);
  });
  fibers.run();
  EXPECT_EQ(late, 3);
}

TEST(HookedGetaddrinfo, GoesOnAfterAnAlarmWhoseHandlerReturns) {
  auto server = std::make_optional<SilentServer>();
  Fibers fibers;
  static int handled;
  handled = 0;
  fibers.spawn([&] {
    ::signal(SIGALRM, [](int) { ++handled; });
    addrinfo* result = nullptr;
    ::ualarm(1000, 0);
    ASSERT_EQ(::getaddrinfo("localhost", "80", nullptr, &result), 0);
    EXPECT_EQ(handled, 1);
    ::freeaddrinfo(result);
    ::signal(SIGALRM, SIG_DFL);
  });
  fibers.spawn([&] {
    while (handled == 0) sleep_ms(1);
    server.reset();
  });
  fibers.run();
}

TEST(HookedGetaddrinfo, ReportsErrorsAsLibcDoes) {
  Fibers fibers;
  fibers.spawn([] {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST;
    addrinfo* result = nullptr;
    EXPECT_EQ(::getaddrinfo("not a number", "80", &hints, &result), EAI_NONAME);
    EXPECT_EQ(::getaddrinfo("127.0.0.1", "80", nullptr, &result), 0);
    ::freeaddrinfo(result);
  });
  fibers.run();
}

TEST(HookedGetnameinfo, NamesTheLoopback) {
  Fibers fibers;
  fibers.spawn([] {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(80);
    const auto* name = reinterpret_cast<const sockaddr*>(&address);
    char host[256], service[32];
    EXPECT_EQ(::getnameinfo(name, sizeof address, host, sizeof host, service, sizeof service,
                            NI_NUMERICHOST | NI_NUMERICSERV),
              0);
    EXPECT_STREQ(host, "127.0.0.1");
    EXPECT_STREQ(service, "80");
    EXPECT_EQ(::getnameinfo(name, sizeof address, host, sizeof host, nullptr, 0, 0), 0);
  });
  fibers.run();
}

}  // namespace
}  // namespace aiofiber::hooks_test
