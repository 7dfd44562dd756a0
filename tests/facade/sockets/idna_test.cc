// SPDX-License-Identifier: Apache-2.0
//
// Names of hosts beyond ASCII.
#include "sockets/idna.h"

#include <gtest/gtest.h>
#include <netdb.h>

#include <string>

#include "aiofiber/asyncio.h"
#include "support/errors.h"

namespace aiofiber {
namespace {

using detail::host_in_ascii;

TEST(Idna, LeavesNamesInAsciiAsTheyAre) {
  for (const char* name :
       {"", "localhost", "LOCALHOST", "a_b.example", "127.0.0.1", "::1", "xn--bcher-kva.example"})
    EXPECT_EQ(host_in_ascii(name), name);
}

TEST(Idna, GivesTheFormOfTheDns) {
  EXPECT_EQ(host_in_ascii("b\u00fccher.example"), "xn--bcher-kva.example");
  EXPECT_EQ(host_in_ascii("B\u00dcCHER.example"), "xn--bcher-kva.example");
  EXPECT_EQ(host_in_ascii("bu\u0308cher.example"), "xn--bcher-kva.example");  // u and a combining mark
  EXPECT_EQ(host_in_ascii("stra\u00dfe.example"), "xn--strae-oqa.example");   // IDNA 2003: strasse.example
  EXPECT_EQ(host_in_ascii("\u4f8b\u3048.\u30c6\u30b9\u30c8"), "xn--r8jz45g.xn--zckzah");
  EXPECT_EQ(host_in_ascii("\u043f\u0440\u0438\u043c\u0435\u0440.example"), "xn--e1afmkfd.example");
}

TEST(Idna, RefusesWhatIsNoName) {
  const std::string long_label(70, 'a');
  for (const std::string& name :
       {std::string("b\xfc"), std::string("\xc3"), std::string("\u00fc.example\0.test", 16),
        "\u00fc" + long_label, std::string("\u00fc-\u2028.example")}) {
    const std::string error = thrown<ValueError>([&] { host_in_ascii(name); });
    EXPECT_NE(error.find("is no name of a host: "), std::string::npos) << error;
  }
}

TEST(Idna, IsUsedByLookUps) {
  run([] {
    EventLoop& loop = get_running_loop();
    // Wide digits and stops: a name that becomes an address, so that no server is asked.
    const std::string wide = "\uff11\uff12\uff17\uff0e\uff10\uff0e\uff10\uff0e\uff11";
    const auto found = await(loop.getaddrinfo(wide, 80, {.type = SOCK_STREAM, .flags = AI_NUMERICHOST}));
    EXPECT_EQ(found.at(0).address, SocketAddress("127.0.0.1", 80));
    EXPECT_THROW(await(loop.getaddrinfo("b\xfc", 80)), ValueError);
    EXPECT_THROW(await(open_connection("b\xfc", 80)), ValueError);
  });
}

}  // namespace
}  // namespace aiofiber
