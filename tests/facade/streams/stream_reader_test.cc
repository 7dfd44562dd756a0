// SPDX-License-Identifier: Apache-2.0
//
// StreamReader, fed by the test: what each reading function takes and leaves, at every split of the input.
// Labels: clang long
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "support/run_in_loop.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

// A reader that has it all, and the end.
StreamReader reader_of(std::string_view bytes, std::size_t limit = kDefaultStreamLimit) {
  StreamReader reader(limit);
  reader.feed_data(bytes);
  reader.feed_eof();
  return reader;
}

TEST(StreamReader, ReadGivesWhatIsThereAndThenTheEnd) {
  run_in_loop([] {
    StreamReader reader = reader_of("abcdef");
    EXPECT_EQ(await(reader.read(4)), "abcd");
    EXPECT_FALSE(reader.at_eof());
    EXPECT_EQ(await(reader.read(4)), "ef");
    EXPECT_TRUE(reader.at_eof());
    EXPECT_EQ(await(reader.read(4)), "");
  });
}

TEST(StreamReader, ReadOfNothingDoesNotWait) {
  run_in_loop([] {
    StreamReader reader;
    EXPECT_EQ(await(reader.read(0)), "");
    EXPECT_EQ(await(reader.readexactly(0)), "");
    EXPECT_EQ(await(reader.read_into({})), 0u);
  });
}

TEST(StreamReader, ReadToTheEndGathersAll) {
  run_in_loop([] {
    StreamReader reader(4);
    auto all = create_task([&] { return await(reader.read()); });
    for (int i = 0; i < 100; ++i) {
      reader.feed_data("0123456789");
      await(sleep(0s));
    }
    reader.feed_eof();
    EXPECT_EQ(await(all).size(), 1000u);
  });
}

TEST(StreamReader, ReadexactlyWaitsForAllOrTellsWhatCame) {
  run_in_loop([] {
    StreamReader reader = reader_of("abcdefg");
    EXPECT_EQ(await(reader.readexactly(4)), "abcd");
    try {
      await(reader.readexactly(5));
      ADD_FAILURE();
    } catch (const IncompleteReadError& error) {
      EXPECT_EQ(error.partial(), "efg");
      EXPECT_EQ(error.expected(), 5u);
      EXPECT_STREQ(error.what(), "3 bytes read on a total of 5 expected bytes");
    }
    EXPECT_TRUE(reader.at_eof());
  });
}

TEST(StreamReader, ReadexactlyMayWantMoreThanTheLimit) {
  run_in_loop([] {
    StreamReader reader(8);
    auto all = create_task([&] { return await(reader.readexactly(1000)); });
    for (int i = 0; i < 100; ++i) {
      await(sleep(0s));
      reader.feed_data("0123456789");
    }
    EXPECT_EQ(await(all).size(), 1000u);
  });
}

TEST(StreamReader, ReadlineGivesTheRestWithoutANewline) {
  run_in_loop([] {
    StreamReader reader = reader_of("one\n\ntwo");
    EXPECT_EQ(await(reader.readline()), "one\n");
    EXPECT_EQ(await(reader.readline()), "\n");
    EXPECT_EQ(await(reader.readline()), "two");
    EXPECT_EQ(await(reader.readline()), "");
  });
}

TEST(StreamReader, ReadlineDropsALineThatIsTooLong) {
  run_in_loop([] {
    StreamReader reader = reader_of("0123456789\nnext\n", 4);
    EXPECT_THROW(await(reader.readline()), ValueError);
    EXPECT_EQ(await(reader.readline()), "next\n");
  });
}

TEST(StreamReader, ReadlineDropsWhatIsTooLongWithoutANewline) {
  run_in_loop([] {
    StreamReader reader(4);
    reader.feed_data("0123456789");
    EXPECT_THROW(await(reader.readline()), ValueError);
    reader.feed_data("next\n");
    EXPECT_EQ(await(reader.readline()), "next\n");
  });
}

TEST(StreamReader, ALineOfExactlyTheLimitIsGiven) {
  run_in_loop([] {
    StreamReader reader = reader_of("1234\n12345\n", 4);
    EXPECT_EQ(await(reader.readline()), "1234\n");
    EXPECT_THROW(await(reader.readline()), ValueError);
  });
}

TEST(StreamReader, ReaduntilLeavesWhatIsTooLong) {
  run_in_loop([] {
    StreamReader reader = reader_of("0123456789\r\nnext", 4);
    try {
      await(reader.readuntil("\r\n"));
      ADD_FAILURE();
    } catch (const LimitOverrunError& error) {
      EXPECT_EQ(error.consumed(), 10u);
    }
    EXPECT_EQ(await(reader.readexactly(12)), "0123456789\r\n");
    EXPECT_EQ(await(reader.read(9)), "next");
  });
}

TEST(StreamReader, ReaduntilTellsHowMuchCanBeReadWithoutTheSeparator) {
  run_in_loop([] {
    StreamReader reader(4);
    reader.feed_data("0123456789\r");
    try {
      await(reader.readuntil("\r\n"));
      ADD_FAILURE();
    } catch (const LimitOverrunError& error) {
      EXPECT_EQ(error.consumed(), 10u);  // the last byte may begin a separator
    }
  });
}

TEST(StreamReader, ReaduntilAtTheEndTellsWhatCame) {
  run_in_loop([] {
    StreamReader reader = reader_of("abc");
    try {
      await(reader.readuntil("\r\n"));
      ADD_FAILURE();
    } catch (const IncompleteReadError& error) {
      EXPECT_EQ(error.partial(), "abc");
      EXPECT_FALSE(error.expected().has_value());
      EXPECT_STREQ(error.what(), "3 bytes read on a total of undefined expected bytes");
    }
  });
}

TEST(StreamReader, ReaduntilTakesTheSeparatorThatEndsFirst) {
  run_in_loop([] {
    StreamReader reader = reader_of("a;b\r\nc");
    EXPECT_EQ(await(reader.readuntil({"\r\n", ";"})), "a;");
    EXPECT_EQ(await(reader.readuntil({"\n", "\r\n"})), "b\r\n");
  });
}

TEST(StreamReader, RefusesSeparatorsThatAreNone) {
  run_in_loop([] {
    StreamReader reader;
    EXPECT_THROW(await(reader.readuntil("")), ValueError);
    EXPECT_THROW(await(reader.readuntil(std::vector<std::string>{})), ValueError);
    EXPECT_THROW(StreamReader(0), ValueError);
    EXPECT_THROW(await(reader.readexactly(-1)), ValueError);
  });
}

// ---- every split

// 64 bytes with separators of several bytes, some in each other.
constexpr std::string_view kMessage =
    "GET /a HTTP/1.0\r\nHost:b\r\n\r\n;;a;bb;\n\n\r\r\nabababc--end--\r\n--end--x\n";
static_assert(kMessage.size() == 64);

// What readuntil() gives, call by call, by another way than the reader's: byte after byte. The last text, if
// the stream ends without a separator, begins with '!'.
std::vector<std::string> model_of_readuntil(std::string_view bytes,
                                            const std::vector<std::string>& separators) {
  std::vector<std::string> texts(1);
  for (const char c : bytes) {
    texts.back() += c;
    for (const std::string& separator : separators) {
      if (!texts.back().ends_with(separator)) continue;
      texts.emplace_back();
      break;
    }
  }
  texts.back().insert(0, 1, '!');
  return texts;
}

// The same of readline(), which gives the rest without an error and then "", and of readexactly(n).
std::vector<std::string> model_of_readline(std::string_view bytes) {
  std::vector<std::string> texts = model_of_readuntil(bytes, {"\n"});
  texts.back().erase(0, 1);
  if (!texts.back().empty()) texts.emplace_back();
  return texts;
}
std::vector<std::string> model_of_readexactly(std::string_view bytes, std::size_t count) {
  std::vector<std::string> texts;
  for (; bytes.size() >= count; bytes.remove_prefix(count)) texts.emplace_back(bytes.substr(0, count));
  texts.push_back("!" + std::string(bytes));
  return texts;
}

using Texts = std::vector<std::string>;
// All that the calls give until the stream ends. `make`: gives one call.
template <class Make>
Texts texts_on_stack(StreamReader reader, Make make) {
  Texts texts;
  do {
    try {
      texts.push_back(await(make(reader)));
    } catch (const IncompleteReadError& error) {
      texts.push_back("!" + error.partial());
      break;
    }
  } while (!texts.back().empty());
  return texts;
}
template <class Make>
Coro<Texts> texts_without_stack(StreamReader reader, Make make) {
  Texts texts;
  do {
    try {
      texts.push_back(co_await make(reader));
    } catch (const IncompleteReadError& error) {
      texts.push_back("!" + error.partial());
      break;
    }
  } while (!texts.back().empty());
  co_return texts;
}

// Feeds the pieces to a task that reads: each in a pass of its own, or all in one.
template <class Make>
void feed_pieces(const Texts& pieces, const Texts& expected, bool joined, bool one_pass, Make make) {
  for (const bool on_stack : {true, false}) {
    StreamReader reader;
    Task<Texts> task = on_stack ? create_task([=] { return texts_on_stack(reader, make); })
                                : create_task(texts_without_stack(reader, make));
    await(sleep(0s));
    for (const std::string& piece : pieces) {
      reader.feed_data(piece);
      if (one_pass) continue;
      await(sleep(0s));
      await(sleep(0s));
    }
    reader.feed_eof();
    Texts got = await(task);
    if (joined) {
      std::string all;
      for (const std::string& each : got) all += each;
      got = {all};
    }
    EXPECT_EQ(got, expected);
    EXPECT_TRUE(reader.at_eof());
  }
}
// `joined`: where a text ends depends on the pieces; all texts together do not.
template <class Make>
void feed_every_split(const std::string& name, const Texts& expected, bool joined, Make make) {
  run_in_loop([&] {
    for (std::size_t split = 0; split <= kMessage.size(); ++split) {
      SCOPED_TRACE(name + ", split at " + std::to_string(split));
      const Texts pieces = {std::string(kMessage.substr(0, split)), std::string(kMessage.substr(split))};
      feed_pieces(pieces, expected, joined, false, make);
      feed_pieces(pieces, expected, joined, true, make);
    }
    SCOPED_TRACE(name + ", single bytes");
    Texts bytes;
    for (const char c : kMessage) bytes.emplace_back(1, c);
    feed_pieces(bytes, expected, joined, false, make);
  });
}
Coro<std::string> into_memory(StreamReader reader, std::size_t count, bool exactly) {
  std::string memory(count, '\0');
  const std::size_t got =
      exactly ? co_await reader.readexactly_into(memory) : co_await reader.read_into(memory);
  memory.resize(got);
  co_return memory;
}

TEST(EverySplit, GivesReaduntilTheSameTexts) {
  const std::vector<Texts> sets = {{"\n"},
                                   {"\r\n"},
                                   {"\r\n\r\n"},
                                   {"--end--"},
                                   {"ababc"},
                                   {"\r\r\n"},
                                   {";", ";;"},
                                   {"\r\n", "\n"},
                                   {"\r\n\r\n", "\r\n", "\n"},
                                   {"--end--\r\n", "--end--x", "bb"},
                                   {"never"},
                                   {std::string(kMessage)}};
  for (const Texts& separators : sets) {
    feed_every_split("readuntil " + separators.back(), model_of_readuntil(kMessage, separators), false,
                     [separators](const StreamReader& reader) { return reader.readuntil(separators); });
  }
}

TEST(EverySplit, GivesReadlineTheSameLines) {
  feed_every_split("readline", model_of_readline(kMessage), false,
                   [](const StreamReader& reader) { return reader.readline(); });
}

TEST(EverySplit, GivesReadexactlyTheSameTexts) {
  for (const std::size_t count : {1u, 2u, 7u, 32u, 63u, 64u, 65u}) {
    const Texts expected = model_of_readexactly(kMessage, count);
    feed_every_split("readexactly", expected, false, [count](const StreamReader& reader) {
      return reader.readexactly(static_cast<std::ptrdiff_t>(count));
    });
    feed_every_split("readexactly_into", expected, false,
                     [count](const StreamReader& reader) { return into_memory(reader, count, true); });
  }
}

TEST(EverySplit, GivesReadEveryByteOnce) {
  const Texts all = {std::string(kMessage)};
  feed_every_split("read()", all, true, [](const StreamReader& reader) { return reader.read(); });
  for (const std::size_t count : {1u, 5u, 64u, 1000u}) {
    feed_every_split("read(n)", all, true, [count](const StreamReader& reader) {
      return reader.read(static_cast<std::ptrdiff_t>(count));
    });
    feed_every_split("read_into", all, true,
                     [count](const StreamReader& reader) { return into_memory(reader, count, false); });
  }
}

// As in CPython: of two that end together the shorter one counts, in any order.
TEST(StreamReader, CountsTheShortestSeparatorForItsLimit) {
  run_in_loop([] {
    for (const Texts& separators : {Texts{"END", "ND"}, Texts{"ND", "END"}}) {
      StreamReader reader(3);
      reader.feed_data("aaaEND");
      try {
        await(reader.readuntil(separators));
        ADD_FAILURE() << "four bytes come before ND";
      } catch (const LimitOverrunError& error) {
        EXPECT_EQ(error.consumed(), 4u);
      }
    }
  });
}

// What is read up to the limit comes in any pieces; one byte more is refused in any pieces, and stays.
TEST(EverySplit, KeepsTheLimitToTheByte) {
  constexpr std::size_t kLimit = 20;
  for (const Texts& separators : {Texts{"\n"}, Texts{"\r\n"}, Texts{"\r\n", "--end--"}, Texts{"ababc"}}) {
    for (const std::size_t length : {kLimit - 1, kLimit, kLimit + 1}) {
      const std::string text = std::string(length, 'a') + separators.front();
      run_in_loop([&] {
        for (std::size_t split = 0; split <= text.size(); ++split) {
          SCOPED_TRACE(separators.front() + " behind " + std::to_string(length) + " bytes, split at " +
                       std::to_string(split));
          StreamReader reader(kLimit), lines(kLimit);
          auto reading = create_task([&] { return await(reader.readuntil(separators)); });
          auto line = create_task([&]() -> Coro<std::string> { co_return co_await lines.readline(); });
          await(sleep(0s));
          for (const std::string_view piece :
               {std::string_view(text).substr(0, split), std::string_view(text).substr(split)}) {
            reader.feed_data(piece);
            lines.feed_data(piece);
            await(sleep(0s));
            await(sleep(0s));
          }
          lines.feed_data("\n");  // behind a separator that is none for readline()
          await(wait({reading, line}));
          const bool line_fits =
              text.find('\n') == std::string::npos ? text.size() <= kLimit : text.find('\n') <= kLimit;
          if (length <= kLimit) {
            EXPECT_EQ(await(reading), text);
          } else {
            EXPECT_THROW(await(reading), LimitOverrunError);
            reader.feed_eof();
            EXPECT_EQ(await(reader.read()), text);
          }
          if (line_fits) {
            EXPECT_EQ(await(line), text.ends_with('\n') ? text : text + "\n");
          } else {
            EXPECT_THROW(await(line), ValueError);
          }
        }
      });
    }
  }
}

TEST(StreamReader, AForLoopGivesTheLines) {
  run_in_loop([] {
    StreamReader reader = reader_of("one\ntwo\nthree");
    std::vector<std::string> got;
    for (const std::string& line : reader) got.push_back(line);
    EXPECT_EQ(got, (std::vector<std::string>{"one\n", "two\n", "three"}));
  });
}

TEST(StreamReader, ReadsIntoMemoryOfTheCaller) {
  run_in_loop([] {
    StreamReader reader = reader_of("abcdefgh");
    std::array<char, 5> memory{};
    EXPECT_EQ(await(reader.read_into(memory)), 5u);
    EXPECT_EQ(std::string(memory.data(), 5), "abcde");
    EXPECT_EQ(await(reader.readexactly_into(std::span(memory).first(2))), 2u);
    EXPECT_EQ(std::string(memory.data(), 2), "fg");
    EXPECT_THROW(await(reader.readexactly_into(memory)), IncompleteReadError);
    EXPECT_EQ(await(reader.read_into(memory)), 0u);
  });
}

TEST(StreamReader, AnErrorIsThrownByTheWaitingCallAndAllLaterOnes) {
  run_in_loop([] {
    StreamReader reader;
    auto waiting = create_task([&] { return await(reader.readline()); });
    await(sleep(0s));
    reader.set_exception(ValueError("gone"));
    EXPECT_THROW(await(waiting), ValueError);
    EXPECT_THROW(await(reader.read(1)), ValueError);
    EXPECT_NE(reader.exception(), nullptr);
  });
}

// What happens to a call after something woke it and before its task runs. `feed` is called then.
template <class Feed>
std::string read_while(StreamReader reader, Coroutine<std::string> call, Feed feed) {
  auto waiting = create_task([&]() -> std::string {
    try {
      return await(std::move(call));
    } catch (const std::exception& error) {
      return std::string("error ") + error.what();
    }
  });
  await(sleep(0s));
  feed(reader);
  return await(waiting);
}

TEST(StreamReader, BytesBeforeAnErrorReachTheWaitingCall) {
  run_in_loop([] {
    const auto feed = [](StreamReader& reader) {
      reader.feed_data("ab\ncd");
      reader.set_exception(ValueError("gone"));
    };
    StreamReader some, exactly, line, until, all;
    EXPECT_EQ(read_while(some, some.read(4), feed), "ab\nc");
    EXPECT_EQ(read_while(exactly, exactly.readexactly(5), feed), "ab\ncd");
    EXPECT_EQ(read_while(line, line.readline(), feed), "ab\n");
    EXPECT_EQ(read_while(until, until.readuntil("\nc"), feed), "ab\nc");
    EXPECT_EQ(read_while(all, all.read(), feed), "error gone");
    EXPECT_THROW(await(some.read(1)), ValueError);
  });
}

TEST(StreamReader, AnErrorBehindTooFewBytesEndsTheWait) {
  run_in_loop([] {
    const auto feed = [](StreamReader& reader) {
      reader.feed_data("ab");
      reader.set_exception(ValueError("gone"));
    };
    StreamReader exactly, line, until;
    EXPECT_EQ(read_while(exactly, exactly.readexactly(3), feed), "error gone");
    EXPECT_EQ(read_while(line, line.readline(), feed), "error gone");
    EXPECT_EQ(read_while(until, until.readuntil("c"), feed), "error gone");
  });
}

TEST(StreamReader, TheEndBeforeAnErrorReachesTheWaitingCall) {
  run_in_loop([] {
    const auto feed = [](StreamReader& reader) {
      reader.feed_eof();
      reader.set_exception(ValueError("gone"));
    };
    StreamReader some, all, exactly;
    EXPECT_EQ(read_while(some, some.read(4), feed), "");
    EXPECT_EQ(read_while(all, all.read(), feed), "");
    EXPECT_EQ(read_while(exactly, exactly.readexactly(1), feed),
              "error 0 bytes read on a total of 1 expected bytes");
  });
}

TEST(StreamReader, AWaitingCallThrowsTheErrorThatWokeIt) {
  run_in_loop([] {
    StreamReader fed, failed_again;
    EXPECT_EQ(read_while(fed, fed.read(1),
                         [](StreamReader& reader) {
                           reader.set_exception(ValueError("first"));
                           reader.feed_data("x");
                         }),
              "error first");
    EXPECT_EQ(read_while(failed_again, failed_again.read(1),
                         [](StreamReader& reader) {
                           reader.set_exception(ValueError("first"));
                           reader.set_exception(ValueError("second"));
                         }),
              "error first");
    EXPECT_THROW(await(fed.read(1)), ValueError);
  });
}

TEST(StreamReader, OnlyOneTaskMayWait) {
  run_in_loop([] {
    StreamReader reader;
    auto waiting = create_task([&] { return await(reader.read(1)); });
    await(sleep(0s));
    try {
      await(reader.readuntil("x"));
      ADD_FAILURE();
    } catch (const RuntimeError& error) {
      EXPECT_STREQ(error.what(),
                   "readuntil() called while another coroutine is already waiting for incoming data");
    }
    reader.feed_data("x");
    EXPECT_EQ(await(waiting), "x");
  });
}

TEST(StreamReader, ACancelledCallTakesNothing) {
  run_in_loop([] {
    StreamReader reader;
    auto waiting = create_task([&] { return await(reader.readexactly(4)); });
    await(sleep(0s));
    reader.feed_data("ab");
    await(sleep(0s));
    waiting.cancel();
    await(ended(waiting));
    reader.feed_data("cd");
    EXPECT_EQ(await(reader.readexactly(4)), "abcd");
  });
}

TEST(StreamReader, FeedingAfterTheEndIsAnError) {
  StreamReader reader;
  reader.feed_eof();
  EXPECT_THROW(reader.feed_data("x"), RuntimeError);
}

TEST(StreamReader, CoroutinesReadWithoutAStack) {
  run_in_loop([] {
    StreamReader reader;
    auto lines = create_task([&]() -> Coro<std::string> {
      std::string all = co_await reader.readline();
      all += co_await reader.readexactly(2);
      all += co_await reader.read();
      co_return all;
    });
    for (const char c : std::string_view("one\ntwo")) {
      await(sleep(0s));
      reader.feed_data(std::string_view(&c, 1));
    }
    reader.feed_eof();
    EXPECT_EQ(await(lines), "one\ntwo");
  });
}

TEST(StreamReader, ManyBytesThroughASmallWindow) {
  run_in_loop([] {
    StreamReader reader(16);
    std::string sent, got;
    auto reading = create_task([&] {
      for (;;) {
        std::string some = await(reader.read(7));
        if (some.empty()) return;
        got += some;
      }
    });
    for (int i = 0; i < 3000; ++i) {
      const std::string piece(static_cast<std::size_t>(i % 23), static_cast<char>('a' + i % 26));
      sent += piece;
      reader.feed_data(piece);
      if (i % 3 == 0) await(sleep(0s));
    }
    reader.feed_eof();
    await(reading);
    EXPECT_EQ(got, sent);
  });
}

TEST(StreamReader, ShowsItsState) {
  StreamReader reader(7);
  reader.feed_data("abc");
  reader.feed_eof();
  const std::string text = repr(reader);
  EXPECT_TRUE(text.starts_with("<StreamReader object at 0x"));
  EXPECT_TRUE(text.ends_with(" 3 bytes eof limit=7>")) << text;
}

}  // namespace
}  // namespace aiofiber
