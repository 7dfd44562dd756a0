// SPDX-License-Identifier: Apache-2.0
//
// Hosts, users, groups and the resolver's calls in fibers: the answers are libc's, in the caller's memory,
// and nobody has to wait for a server that is silent. Real time: the resolver knows no other.
// Labels: threads
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <resolv.h>
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "aiofiber/runtime/arch/arch.h"
#include "silent_server.h"
#include "support/fibers.h"

namespace aiofiber::hooks_test {
namespace {

// ---- answers, in words

// libc itself leaves lists unaligned in memory that is.
char* element(char* const* list, std::size_t at) {
  char* pointer = nullptr;
  std::memcpy(&pointer, reinterpret_cast<const char*>(list) + at * sizeof pointer, sizeof pointer);
  return pointer;
}
std::string list_text(char* const* list) {
  std::string text;
  for (std::size_t i = 0; element(list, i) != nullptr; ++i) text += std::string(element(list, i)) + ",";
  return text;
}
std::string text_of(const hostent& entry) {
  std::string text = std::string(entry.h_name) + " " + list_text(entry.h_aliases);
  for (std::size_t i = 0; element(entry.h_addr_list, i) != nullptr; ++i) {
    char number[INET6_ADDRSTRLEN];
    text += std::string(" ") +
            ::inet_ntop(entry.h_addrtype, element(entry.h_addr_list, i), number, sizeof number);
  }
  return text;
}
std::string text_of(const passwd& entry) {
  return std::string(entry.pw_name) + ":" + entry.pw_passwd + ":" + entry.pw_gecos + ":" + entry.pw_dir +
         ":" + entry.pw_shell + " " + std::to_string(entry.pw_uid) + " " + std::to_string(entry.pw_gid);
}
std::string text_of(const group& entry) {
  return std::string(entry.gr_name) + ":" + entry.gr_passwd + ":" + list_text(entry.gr_mem) +
         std::to_string(entry.gr_gid);
}

template <class Entry>
std::string text_of(const Entry* entry) {
  return entry != nullptr ? text_of(*entry) : "nobody";
}

// Calls ask(entry, memory, size, result) with each size from 0 until the answer fits, in memory that begins
// where no pointer may lie. The errors and the answer.
template <class Entry, class Ask>
std::string answer_of_each_size(Ask ask) {
  for (std::size_t size = 0; size < 4096; ++size) {
    std::vector<char> memory(size + 2, '#');
    char* const begin = memory.data() + 1;
    Entry entry{};
    Entry* result = nullptr;
    const int error = ask(&entry, begin, size, &result);
    EXPECT_EQ(memory.front(), '#');
    EXPECT_EQ(memory.back(), '#') << "bytes after the " << size;
    if (error == ERANGE) {
      EXPECT_EQ(result, nullptr);
      continue;
    }
    if (error != 0) return "error " + std::to_string(error);
    if (result == nullptr) return "nobody";
    EXPECT_EQ(result, &entry);
    return text_of(entry);
  }
  return "too large";
}

struct Question {
  const char* name;
  std::function<std::string()> answer;
};
std::vector<Question> questions() {
  return {
      {"gethostbyname_r",
       [] {
         return answer_of_each_size<hostent>([](auto* entry, auto... rest) {
           int error = 0;
           return ::gethostbyname_r("localhost", entry, rest..., &error);
         });
       }},
      {"gethostbyname2_r",
       [] {
         return answer_of_each_size<hostent>([](auto* entry, auto... rest) {
           int error = 0;
           return ::gethostbyname2_r("localhost", AF_INET, entry, rest..., &error);
         });
       }},
      {"gethostbyaddr_r",
       [] {
         return answer_of_each_size<hostent>([](auto* entry, auto... rest) {
           const in_addr address{htonl(INADDR_LOOPBACK)};
           int error = 0;
           return ::gethostbyaddr_r(&address, sizeof address, AF_INET, entry, rest..., &error);
         });
       }},
      {"getpwnam_r",
       [] {
         return answer_of_each_size<passwd>([](auto... rest) { return ::getpwnam_r("root", rest...); });
       }},
      {"getpwuid_r",
       [] { return answer_of_each_size<passwd>([](auto... rest) { return ::getpwuid_r(1, rest...); }); }},
      {"getgrnam_r",
       [] { return answer_of_each_size<group>([](auto... rest) { return ::getgrnam_r("root", rest...); }); }},
      {"getgrgid_r",
       [] { return answer_of_each_size<group>([](auto... rest) { return ::getgrgid_r(1, rest...); }); }},
      {"getpwnam_r of nobody",
       [] {
         return answer_of_each_size<passwd>(
             [](auto... rest) { return ::getpwnam_r("no such user", rest...); });
       }},
      {"gethostbyname", [] { return text_of(::gethostbyname("localhost")); }},
      {"gethostbyname2", [] { return text_of(::gethostbyname2("localhost", AF_INET)); }},
      {"gethostbyaddr",
       [] {
         const in_addr address{htonl(INADDR_LOOPBACK)};
         return text_of(::gethostbyaddr(&address, sizeof address, AF_INET));
       }},
      {"getpwnam", [] { return text_of(::getpwnam("root")); }},
      {"getpwuid", [] { return text_of(::getpwuid(1)); }},
      {"getgrnam", [] { return text_of(::getgrnam("root")); }},
      {"getgrgid", [] { return text_of(::getgrgid(1)); }},
  };
}

TEST(HookedDatabases, AnswerAsLibcDoes) {
  std::vector<std::string> expected, seen;
  for (const Question& question : questions()) expected.push_back(question.answer());
  Fibers fibers;
  fibers.spawn([&] {
    for (const Question& question : questions()) seen.push_back(question.answer());
  });
  fibers.run();
  ASSERT_EQ(seen.size(), expected.size());
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], expected[i]) << questions()[i].name;
}

// ---- a silent server

char host_memory[512];
unsigned char answer[512];
constexpr unsigned char kQuestion[NS_HFIXEDSZ] = {};

// Each returns how the call has failed: the error, or errno.
struct SilentCall {
  const char* name;
  int (*call)();
};
int errno_if(bool failed) { return failed ? errno : 0; }
template <class Entry, class Ask>
int error_of(Ask ask) {
  Entry entry{};
  Entry* result = &entry;
  const int error = ask(&entry, host_memory, sizeof host_memory, &result);
  EXPECT_EQ(result, nullptr);
  return error;
}
const SilentCall kSilentCalls[] = {
    {"gethostbyname", [] { return errno_if(::gethostbyname("localhost") == nullptr); }},
    {"gethostbyname2", [] { return errno_if(::gethostbyname2("localhost", AF_INET) == nullptr); }},
    {"gethostbyaddr",
     [] {
       const in_addr address{htonl(INADDR_LOOPBACK)};
       return errno_if(::gethostbyaddr(&address, sizeof address, AF_INET) == nullptr);
     }},
    {"gethostbyname_r",
     [] {
       int error = 0;
       const int result =
           error_of<hostent>([&](auto... rest) { return ::gethostbyname_r("localhost", rest..., &error); });
       EXPECT_EQ(error, NETDB_INTERNAL);
       return result;
     }},
    {"getpwnam", [] { return errno_if(::getpwnam("root") == nullptr); }},
    {"getpwuid", [] { return errno_if(::getpwuid(0) == nullptr); }},
    {"getpwnam_r",
     [] { return error_of<passwd>([](auto... rest) { return ::getpwnam_r("root", rest...); }); }},
    {"getgrnam", [] { return errno_if(::getgrnam("root") == nullptr); }},
    {"getgrgid", [] { return errno_if(::getgrgid(0) == nullptr); }},
    {"getgrgid_r", [] { return error_of<group>([](auto... rest) { return ::getgrgid_r(0, rest...); }); }},
    {"getnameinfo",
     [] {
       sockaddr_in address{};
       address.sin_family = AF_INET;
       address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
       char host[64] = "untouched";
       const int error = ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), sizeof address, host,
                                       sizeof host, nullptr, 0, 0);
       EXPECT_STREQ(host, "untouched");
       return errno_if(error == EAI_SYSTEM);
     }},
    {"res_query",
     [] { return errno_if(::res_query("localhost", ns_c_in, ns_t_a, answer, sizeof answer) < 0); }},
    {"res_search",
     [] { return errno_if(::res_search("localhost", ns_c_in, ns_t_a, answer, sizeof answer) < 0); }},
    {"res_querydomain",
     [] { return errno_if(::res_querydomain("a", "b", ns_c_in, ns_t_a, answer, sizeof answer) < 0); }},
    {"res_send", [] { return errno_if(::res_send(kQuestion, sizeof kQuestion, answer, sizeof answer) < 0); }},
};

TEST(HookedDatabases, AreLeftBehindByACancelledTask) {
  for (const SilentCall& silent : kSilentCalls) {
    const SilentServer server;
    Fibers fibers;
    int error = 0;
    runtime::Fiber& asks = fibers.spawn([&] { error = silent.call(); });
    fibers.spawn([&] { EXPECT_TRUE(Fibers::interrupt(asks)) << silent.name; });
    fibers.run();
    EXPECT_EQ(error, ECANCELED) << silent.name;
  }
}

sigjmp_buf too_late;

TEST(HookedDatabases, AreLeftBehindByAnAlarmsJump) {
  if (AIOFIBER_ARCH_X86_64 == 0) GTEST_SKIP() << "the hooks do not follow jumps there";
  const SilentServer server;
  Fibers fibers;
  std::atomic<std::size_t> late = 0;  // no jump takes it back
  fibers.spawn([&] {
    ::signal(SIGALRM, [](int) { siglongjmp(too_late, 1); });
    while (late < std::size(kSilentCalls)) {
      if (sigsetjmp(too_late, 1) != 0) {
        ++late;
        continue;
      }
      ::ualarm(1000, 0);
      kSilentCalls[late].call();
      ADD_FAILURE() << "no server answers " << kSilentCalls[late].name;
      ++late;
    }
    ::signal(SIGALRM, SIG_DFL);
  });
  fibers.run();
  EXPECT_EQ(late, std::size(kSilentCalls));
}

}  // namespace
}  // namespace aiofiber::hooks_test
