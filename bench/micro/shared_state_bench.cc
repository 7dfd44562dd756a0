// SPDX-License-Identifier: Apache-2.0
//
// What the search for shared state costs: the same work with and without it.
//
// Built twice: shared_state_bench as it is, which is searched by page protection, and
// shared_state_instrumented_bench with aiofiber::instrumented. Compare with `off` of the first.
#include <benchmark/benchmark.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"

namespace {

constexpr std::size_t kPairs = 25, kBytes = 8192;

void send_all(int fd, const char* from, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t some = ::send(fd, from, bytes, MSG_NOSIGNAL);
    if (some <= 0) return;
    from += some;
    bytes -= static_cast<std::size_t>(some);
  }
}
// False: the other end is closed.
bool receive_all(int fd, char* to, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t some = ::recv(fd, to, bytes, 0);
    if (some <= 0) return false;
    to += some;
    bytes -= static_cast<std::size_t>(some);
  }
  return true;
}

// What a task does with its message. The worst case: nothing.
struct Nothing {
  void operator()(char*, std::size_t) {}
};
// Bytes, one by one.
struct Checksum {
  unsigned sum = 0;
  void operator()(char* text, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) sum = sum * 31 + static_cast<unsigned char>(text[i]);
    text[sum % bytes] = 'x';
  }
};
// Containers on the heap.
struct Words {
  std::map<std::string, int> counts;
  void operator()(char* text, std::size_t bytes) {
    for (std::size_t begin = 0; begin < bytes;) {
      const void* const space = std::memchr(text + begin, ' ', bytes - begin);
      const std::size_t end =
          space == nullptr ? bytes : static_cast<std::size_t>(static_cast<const char*>(space) - text);
      ++counts[std::string(text + begin, end - begin)];
      begin = end + 1;
    }
  }
};

template <class Work, bool kSearch>
void rounds(benchmark::State& state) {
  if (kSearch) aiofiber::detect_shared_state();
  asyncio::run([&] {
    std::vector<asyncio::Task<void>> partners;
    const auto exchange = [](int fd, const char* sent, char* received, Work& work) {
      send_all(fd, sent, kBytes);
      if (!receive_all(fd, received, kBytes)) return false;
      work(received, kBytes);
      return true;
    };
    struct Buffers {
      std::array<char, kBytes> sent, received;
    };
    const auto make_buffers = [] {
      auto buffers = std::make_unique<Buffers>();
      for (std::size_t i = 0; i < kBytes; ++i)
        buffers->sent[i] = i % 6 == 5 ? ' ' : static_cast<char>('a' + i * i % 26);
      return buffers;
    };
    std::vector<std::array<int, 2>> pairs(kPairs);
    for (auto& pair : pairs) {
      if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()) != 0) return state.SkipWithError("socketpair");
      partners.push_back(asyncio::create_task([&, fd = pair[1]] {
        const auto buffers = make_buffers();
        Work work;
        while (exchange(fd, buffers->sent.data(), buffers->received.data(), work)) {
        }
        ::close(fd);
      }));
    }
    // Of each iteration a round of all pairs.
    std::vector<std::unique_ptr<Buffers>> buffers(kPairs);
    std::vector<Work> works(kPairs);
    for (auto& own : buffers) own = make_buffers();
    const auto round = [&] {
      for (std::size_t i = 0; i < kPairs; ++i)
        exchange(pairs[i][0], buffers[i]->sent.data(), buffers[i]->received.data(), works[i]);
    };
    for (int i = 0; i < 20; ++i) round();
    for (auto _ : state) round();
    for (const auto& pair : pairs) ::close(pair[0]);
    for (auto& partner : partners) asyncio::await(partner);
  });
  if (kSearch) aiofiber::stop_detecting_shared_state();
}

BENCHMARK(rounds<Nothing, false>)->Name("nothing/off");
BENCHMARK(rounds<Nothing, true>)->Name("nothing/searched");
BENCHMARK(rounds<Checksum, false>)->Name("checksum/off");
BENCHMARK(rounds<Checksum, true>)->Name("checksum/searched");
BENCHMARK(rounds<Words, false>)->Name("words/off");
BENCHMARK(rounds<Words, true>)->Name("words/searched");

}  // namespace

BENCHMARK_MAIN();
