// SPDX-License-Identifier: Apache-2.0
//
// The end of Coroutines that hold each other: at any depth, and in the order of C++.
// Labels: slow
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "aiofiber/asyncio.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

constexpr int kDeep = 1'000'000;  // far beyond what any stack holds

// Counts what is reported as never awaited, instead of printing it.
class Reports {
 public:
  Reports() {
    set_log_sink([this](LogLevel, std::string_view) { ++count_; });
  }
  ~Reports() { set_log_sink(nullptr); }
  Reports(const Reports&) = delete;
  Reports& operator=(const Reports&) = delete;
  int count() const { return count_; }

 private:
  int count_ = 0;
};

// Notes in a text that it ends.
class Noting {
 public:
  Noting(std::string& text, char mark) : text_(&text), mark_(mark) {}
  Noting(Noting&& other) noexcept : text_(std::exchange(other.text_, nullptr)), mark_(other.mark_) {}
  Noting& operator=(Noting&&) = delete;
  ~Noting() {
    if (text_ != nullptr) *text_ += mark_;
  }

 private:
  std::string* text_;
  char mark_;
};

Coroutine<void> innermost(std::string& text) {
  return Coroutine<void>([end = Noting(text, '.')] {});
}
using Wrap = std::function<Coroutine<void>(Coroutine<void>)>;
Coroutine<void> in_lambda(Coroutine<void> inner) {
  return Coroutine<void>([inner = std::move(inner)]() mutable { await(std::move(inner)); });
}
Coroutine<void> as_argument(Coroutine<void> inner) {
  return coroutine([](Coroutine<void> awaited, int) { await(std::move(awaited)); })(std::move(inner), 7);
}
Coroutine<void> with_limit(Coroutine<void> inner) { return wait_for(std::move(inner), 1s); }

void end_of_many(const Wrap& wrap) {
  const Reports reports;
  std::string text;
  run_in_loop([&] {  // in a task, whose stack is small
    Coroutine<void> outermost = innermost(text);
    for (int i = 0; i < kDeep; ++i) outermost = wrap(std::move(outermost));
    EXPECT_EQ(text, "");
    outermost.close();
    EXPECT_EQ(text, ".");
  });
  EXPECT_EQ(reports.count(), kDeep);  // close() makes no report of the outermost
}

TEST(CoroutinesEnd, InLambdasAtAnyDepth) { end_of_many(in_lambda); }
TEST(CoroutinesEnd, AsArgumentsAtAnyDepth) { end_of_many(as_argument); }
TEST(CoroutinesEnd, InWaitForAtAnyDepth) { end_of_many(with_limit); }
TEST(CoroutinesEnd, InChainsOfAllKindsAtAnyDepth) {
  end_of_many([turn = 0](Coroutine<void> inner) mutable {
    turn = (turn + 1) % 3;
    return turn == 0   ? in_lambda(std::move(inner))
           : turn == 1 ? as_argument(std::move(inner))
                       : with_limit(std::move(inner));
  });
}

// What lies beside a Coroutine ends where C++ says: later members first. What the inner one refers to may
// belong to an earlier one.
TEST(CoroutinesEnd, InTheOrderOfMembers) {
  const Reports reports;
  std::string text;
  for (int depth : {1, 3}) {
    text.clear();
    Coroutine<void> outermost = innermost(text);
    std::string expected = ".";
    for (int i = 0; i < depth; ++i) {
      outermost = Coroutine<void>([first = Noting(text, '<'), inner = in_lambda(std::move(outermost)),
                                   last = Noting(text, '>')]() mutable { await(std::move(inner)); });
      expected = ">" + expected + "<";
    }
    outermost.close();
    EXPECT_EQ(text, expected);
  }
}

TEST(CoroutinesEnd, WhereADestructorEndsAnotherChain) {
  const Reports reports;
  std::string text;
  Coroutine<void> other = innermost(text);
  for (int i = 0; i < 10; ++i) other = in_lambda(std::move(other));
  struct EndsAnother {
    Coroutine<void> other;
    std::string* text;
    bool owns = true;
    EndsAnother(Coroutine<void> chain, std::string& notes) : other(std::move(chain)), text(&notes) {}
    EndsAnother(EndsAnother&& from) noexcept
        : other(std::move(from.other)), text(from.text), owns(std::exchange(from.owns, false)) {}
    EndsAnother& operator=(EndsAnother&&) = delete;
    ~EndsAnother() {
      if (!owns) return;
      other.close();
      *text += "!";
    }
  };
  Coroutine<void> chain{[ends = EndsAnother(std::move(other), text)] {}};
  for (int i = 0; i < 10; ++i) chain = in_lambda(std::move(chain));
  chain.close();
  EXPECT_EQ(text, ".!");
}

// Two tasks end chains, each of which waits in the middle for the other.
TEST(CoroutinesEnd, WhereADestructorAwaits) {
  const Reports reports;
  std::string text;
  struct Awaits {
    std::string* text;
    char mark;
    bool owns = true;
    Awaits(std::string& notes, char name) : text(&notes), mark(name) {}
    Awaits(Awaits&& from) noexcept
        : text(from.text), mark(from.mark), owns(std::exchange(from.owns, false)) {}
    Awaits& operator=(Awaits&&) = delete;
    ~Awaits() {
      if (!owns) return;
      *text += mark;
      await(sleep(0s));
      *text += mark;
    }
  };
  const auto chain_of = [&](char mark) {
    Coroutine<void> chain = innermost(text);
    for (int i = 0; i < 4; ++i) {
      if (i == 2) {
        chain = Coroutine<void>([inner = std::move(chain), awaits = Awaits(text, mark)]() mutable {});
      } else {
        chain = in_lambda(std::move(chain));
      }
    }
    return chain;
  };
  run_in_loop([&] {
    auto a = create_task([chain = chain_of('a')]() mutable { chain.close(); });
    auto b = create_task([chain = chain_of('b')]() mutable { chain.close(); });
    await(gather(a, b));
  });
  EXPECT_EQ(text, "aba.b.");
}

}  // namespace
}  // namespace aiofiber
