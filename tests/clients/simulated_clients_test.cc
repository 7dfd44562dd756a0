// SPDX-License-Identifier: Apache-2.0
//
// hiredis and libcurl, Debian's own, in simulations: against small blocking servers on machines that are cut
// off, killed and slow. Each call ends within its limit, and no answer is taken for another's.
// AIOFIBER_SIMULATION_SEEDS: how many seeds; 200 if absent.
#include <curl/curl.h>
#include <gtest/gtest.h>
#include <hiredis/hiredis.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>

#include "aiofiber/simulation.h"
#include "aiofiber/task.h"
#include "facade/simulation/blocking_code.h"

namespace aiofiber::testing::test {
namespace {

using namespace std::chrono_literals;

// ---- the servers

void serve_each(std::uint16_t port, const std::function<void(const Fd&)>& serve) {
  const Fd listener = listen_on(port);
  for (;;) {
    const int connection = ::accept(listener.get(), nullptr, nullptr);
    if (connection < 0) return;
    create_task([connection, serve] {
      const Fd owned(connection);
      limit(owned, 60);
      serve(owned);
    }).detach();
  }
}

bool read_word(const Fd& connection, std::string& word) {
  if (!read_line(connection, word) || word.empty()) return false;
  word.pop_back();  // the CR
  return true;
}

// Answers each command of Redis's protocol with its last word.
void redis_connection(const Fd& connection) {
  std::string count;
  while (read_word(connection, count)) {
    std::string word;
    for (int i = std::atoi(count.c_str() + 1); i > 0; --i) {
      if (!read_word(connection, word) || !read_word(connection, word)) return;
    }
    if (!send_text(connection, "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n")) return;
  }
}

// Answers each request with its path.
void http_connection(const Fd& connection) {
  std::string request;
  while (read_word(connection, request)) {
    std::string header;
    do {
      if (!read_word(connection, header)) return;
    } while (!header.empty());
    const std::size_t path = request.find(' ') + 1;
    const std::string body = request.substr(path, request.find(' ', path) - path);
    if (!send_text(connection,
                   "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body))
      return;
  }
}

// ---- the clients

struct Outcome {
  int calls = 0;
  int answered = 0;
  std::string wrong;
  Duration longest;

  void add(const std::string& question, const std::string& answer, Duration took) {
    ++calls;
    if (!answer.empty()) ++answered;
    if (!answer.empty() && answer != question) wrong = "'" + answer + "' for '" + question + "'";
    longest = std::max(longest, took);
  }
};

constexpr int kCalls = 30;

void use_hiredis(const std::string& address, Simulation& sim, Outcome& outcome) {
  std::unique_ptr<redisContext, decltype(&redisFree)> connection(nullptr, &redisFree);
  for (int i = 0; i < kCalls; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const std::string question = "key:" + std::to_string(i);
    std::string answer;
    if (connection == nullptr || connection->err != 0) {
      connection.reset(redisConnectWithTimeout(address.c_str(), 6379, {5, 0}));
      redisSetTimeout(connection.get(), {5, 0});
    }
    if (connection->err == 0) {
      if (void* const reply = redisCommand(connection.get(), "GET %s", question.c_str())) {
        answer = static_cast<redisReply*>(reply)->str;
        freeReplyObject(reply);
      }
    }
    outcome.add(question, answer, std::chrono::steady_clock::now() - begin);
    ::usleep(static_cast<useconds_t>(sim.choose(2'000'000)));
  }
}

void use_libcurl(const std::string& address, Simulation& sim, Outcome& outcome) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), &curl_easy_cleanup);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, 5L);
  curl_easy_setopt(
      curl.get(), CURLOPT_WRITEFUNCTION, +[](char* data, std::size_t, std::size_t count, void* into) {
        static_cast<std::string*>(into)->append(data, count);
        return count;
      });
  for (int i = 0; i < kCalls; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const std::string question = "/page/" + std::to_string(i);
    std::string answer;
    curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(curl.get(), CURLOPT_URL, ("http://" + address + question).c_str());
    if (curl_easy_perform(curl.get()) != CURLE_OK) answer.clear();
    outcome.add(question, answer, std::chrono::steady_clock::now() - begin);
    ::usleep(static_cast<useconds_t>(sim.choose(2'000'000)));
  }
}

// ---- their world

using Client = void (*)(const std::string& address, Simulation& sim, Outcome& outcome);

Outcome storm(std::uint64_t seed, std::uint16_t port, void (*connection)(const Fd&), Client use, bool split) {
  Simulation sim({.seed = seed});
  Outcome outcome;
  Node server = sim.node("server");
  server.run([port, connection] { serve_each(port, connection); });
  sim.node("client").run([&] { use(server.address(), sim, outcome); });
  sim.link("client", "server", {.latency = uniform(1ms, 200ms), .split = split, .loss = 0.01});
  for (int i = 0; i < 4; ++i) {
    sim.at(std::chrono::milliseconds(sim.choose(40'000)), [&] {
      const auto length = std::chrono::milliseconds(1 + sim.choose(10'000));
      switch (sim.choose(4)) {
        case 0:
          sim.partition("client", "server");
          sim.after(length, [&sim] { sim.heal(); });
          break;
        case 1:
          server.kill();
          sim.after(length, [&server] { server.restart(); });
          break;
        case 2:
          server.crash();
          sim.after(length, [&server] { server.restart(); });
          break;
        default:
          server.pause();
          sim.after(length, [&server] { server.resume(); });
      }
    });
  }
  sim.run_for(1h);
  if (outcome.calls != kCalls || !outcome.wrong.empty()) std::fputs(sim.trace().c_str(), stderr);
  return outcome;
}

std::size_t seed_count() {
  const char* const text = ::secure_getenv("AIOFIBER_SIMULATION_SEEDS");
  return text != nullptr ? std::strtoul(text, nullptr, 10) : 200;
}

void expect_right(std::uint16_t port, void (*connection)(const Fd&), Client use, bool split, Duration most) {
  std::signal(SIGPIPE, SIG_IGN);  // as a program with hiredis does
  int answered = 0;
  int failed = 0;
  for (const std::uint64_t seed : seeds(seed_count())) {
    const Outcome outcome = storm(seed, port, connection, use, split);
    ASSERT_EQ(outcome.calls, kCalls) << "a call does not end, AIOFIBER_SEED=" << seed;
    ASSERT_EQ(outcome.wrong, "") << "AIOFIBER_SEED=" << seed;
    ASSERT_LE(outcome.longest, most) << "AIOFIBER_SEED=" << seed;
    answered += outcome.answered;
    failed += kCalls - outcome.answered;
  }
  std::printf("    %d calls answered, %d failed\n", answered, failed);
  EXPECT_GT(answered, failed);
  EXPECT_GT(failed, 0);
}

// Its limit is one of each read and of the connect; an unsplit answer is read at once.
TEST(SimulatedHiredis, EachCallEndsInTimeWithItsOwnAnswer) {
  expect_right(6379, redis_connection, use_hiredis, false, 11s);
}

TEST(SimulatedLibcurl, EachCallEndsInTimeWithItsOwnAnswer) {
  expect_right(80, http_connection, use_libcurl, true, 6s);
}

}  // namespace
}  // namespace aiofiber::testing::test
