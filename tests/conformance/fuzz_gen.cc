// SPDX-License-Identifier: Apache-2.0
//
// Every call of the random numbers is a step that python/fuzz_gen.py makes at the same place; the order of
// the calls is the contract. So values are drawn in statements of their own, never as arguments of one call.
#include "fuzz_gen.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace conf {
namespace {

using Line = std::vector<std::string>;
using Lines = std::vector<Line>;

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : whole_language_(seed >= kWholeLanguage), state_(seed * 7919 + 13) {
    for (int i = 0; i < 5; ++i) random(2);
  }

  std::string program() {
    Lines head = {{"spawn", "a", "v0"}, {"spawn", "b", "v1"}, {"fut", "v2"}, {"fut", "v3"}};
    append(head, block(0, 6 + random(6), 0));
    emit("main", head);
    for (int level = 1; level <= 4; ++level) emit(kNames[level - 1], block(0, 4 + random(6), level));
    return text_;
  }

 private:
  static constexpr const char* kNames[] = {"a", "b", "c", "d"};
  static constexpr int kDeepestLevel = 3;  // bodies of this level spawn nothing
  static constexpr int kDeepestBlock = 3;
  static constexpr int kDeepestCallback = 2;
  // The seeds below speak the language of the first programs, which must stay what they are.
  static constexpr std::uint64_t kWholeLanguage = 10'000;

  // The linear congruential generator of the old C library: the upper bits of a 31-bit state.
  int random(int below) {
    state_ = (state_ * 1103515245 + 12345) % (std::uint64_t{1} << 31);
    return static_cast<int>(state_ / 65536 % static_cast<std::uint64_t>(below));
  }
  std::string number() { return std::to_string(random(100)); }
  std::string variable() { return "v" + std::to_string(random(4)); }
  std::string one_of(std::initializer_list<const char*> choices) {
    return choices.begin()[random(static_cast<int>(choices.size()))];
  }
  std::string milliseconds() { return one_of({"0", "0", "10", "20", "30", "50"}); }
  std::string limit() { return one_of({"-1", "0", "10", "30"}); }
  std::string numbered(const char* letter, int below) { return letter + std::to_string(random(below)); }
  std::string event() { return numbered("e", 2); }
  std::string handle() { return numbered("h", 3); }
  std::string removable() { return numbered("c", 3); }

  static void append(Lines& to, const Lines& lines) { to.insert(to.end(), lines.begin(), lines.end()); }
  static Lines nest(Line first, const Lines& inner) {
    Lines lines{std::move(first)};
    append(lines, inner);
    return lines;
  }

  bool risky(std::string_view instruction) const {
    constexpr std::string_view kRisky[] = {"await", "gather", "waitfor",  "shield", "timeout",
                                           "group", "raise",  "tryraise", "wait",   "sleep"};
    constexpr std::string_view kRiskyToo[] = {"put",   "get",   "ewait", "cond",   "cwait",  "cwaitfor", "notify", "bwait",
                                              "qdone", "qjoin", "putnow", "getnow", "ascomp", "resched",  "wfco"};
    const auto in = [instruction](const auto& list) {
      return std::find(std::begin(list), std::end(list), instruction) != std::end(list);
    };
    return in(kRisky) || (whole_language_ && in(kRiskyToo));
  }

  Lines block(int depth, int count, int level) {
    Lines lines;
    for (int i = 0; i < count; ++i) append(lines, guarded_instruction(depth, level));
    return lines;
  }

  // Most instructions that may fail get a try of their own, or programs would end after a few lines.
  Lines guarded_instruction(int depth, int level) {
    Lines lines = instruction(depth, level);
    if (depth < 4 && risky(lines[0][0]) && random(10) < 7)
      return nest({"try", std::to_string(lines.size())}, lines);
    return lines;
  }

  Lines instruction(int depth, int level) {
    if (whole_language_ && random(100) < 55) return newer_instruction(depth, level);
    const int kind = random(100);
    if (kind < 79) return simple_instruction(kind, level);
    if (depth >= kDeepestBlock) return {{"sleep", milliseconds()}};
    return block_instruction(kind, depth, level);
  }

  static Lines line(std::initializer_list<std::string> words) { return Lines{Line(words)}; }

  Lines simple_instruction(int kind, int level) {
    if (kind < 8) return line({"log", "L" + number()});
    if (kind < 18 && level < kDeepestLevel) {
      const std::string name = kNames[std::min(level + random(2), 3)];
      return line({"spawn", name, variable()});
    }
    if (kind < 24) return line({"fut", variable()});
    // The elements of a braced list are evaluated from left to right.
    if (kind < 29) return line({"set", variable(), number()});
    if (kind < 32) return line({"fail", variable(), number()});
    if (kind < 37) return line({"cancel", variable(), "m" + number()});
    if (kind < 46) return line({"await", variable()});
    if (kind < 57) return line({"sleep", milliseconds()});
    if (kind < 61) return line({"gather", std::to_string(random(2)), variable(), variable()});
    if (kind < 65) {
      return line(
          {"wait", one_of({"all", "first", "exc"}), one_of({"-1", "10", "30"}), variable(), variable()});
    }
    if (kind < 70) return line({"waitfor", limit(), variable()});
    if (kind < 73) return line({"shield", variable()});
    if (kind < 75) return line({"put", number()});
    if (kind < 77) return line({"get"});
    if (kind < 78) return line({"raise", number()});
    return line({"return", number()});
  }

  Lines block_instruction(int kind, int depth, int level) {
    const Lines inner = block(depth + 1, 1 + random(3), level);
    const std::string size = std::to_string(inner.size());
    if (kind < 83) return nest({"timeout", one_of({"5", "10", "20", "40"}), size}, inner);
    if (kind < 88) return nest({"try", size}, inner);
    if (kind < 90) return nest({"tryraise", size}, inner);
    if (kind < 93) {
      const Lines last = block(depth + 1, 1, level);
      Lines lines = nest({"finally", size, std::to_string(last.size())}, inner);
      append(lines, last);
      return lines;
    }
    if (kind < 96 && level < kDeepestLevel) {
      return nest({"group", std::to_string(inner.size() + 1)}, nest({"gspawn", kNames[level + 1]}, inner));
    }
    if (kind < 98) return nest({"lock", size}, inner);
    return nest({"sem", size}, inner);
  }

  Lines newer_instruction(int depth, int level) {
    const int kind = random(100);
    if (kind < 16) return event_instruction(kind);
    if (kind < 31) return condition_instruction(kind);
    if (kind < 52) return barrier_or_queue_instruction(kind);
    if (kind < 58) return line({"ascomp", one_of({"-1", "10", "30"}), variable(), variable(), variable()});
    if (kind < 66) return callback(0, level);
    if (kind < 69) return line({"hcancel", handle()});
    if (kind < 75) {
      const Lines inner = quick_block(0, level);
      return nest({"ondone", removable(), variable(), std::to_string(inner.size())}, inner);
    }
    if (kind < 77) return line({"undone", removable()});
    if (kind < 81) return line({"uncancel", variable()});
    if (kind < 84) return line({"uncancel", "self"});
    if (kind < 86) return line({"resched", limit()});
    if (kind < 92 && level < 4) return line({"wfco", limit(), kNames[level]});
    if (depth >= kDeepestBlock) return line({"sleep", milliseconds()});
    Lines inner = block(depth + 1, 1 + random(2), level);
    if (kind >= 96) return nest({"cond", std::to_string(inner.size())}, inner);
    append(inner, line({"resched", limit()}));
    append(inner, block(depth + 1, 1, level));
    return nest({"timeout", one_of({"5", "10", "20", "40"}), std::to_string(inner.size())}, inner);
  }

  Lines event_instruction(int kind) {
    if (kind < 6) return line({"eset", event()});
    if (kind < 9) return line({"eclear", event()});
    return limited(line({"ewait", event()}));
  }

  Lines condition_instruction(int kind) {
    if (kind < 22) return nest({"cond", "1"}, line({"notify", one_of({"1", "1", "2", "all"})}));
    if (kind < 27) return limited(nest({"cond", "1"}, line({"cwait"})));
    if (kind < 30) return limited(nest({"cond", "1"}, line({"cwaitfor", std::to_string(random(3))})));
    return line({one_of({"cwait", "notify"}), "1"});
  }

  Lines barrier_or_queue_instruction(int kind) {
    if (kind < 38) return limited(line({"bwait", one_of({"2", "2", "3"})}));
    if (kind < 39) return line({one_of({"breset", "breset", "babort"}), one_of({"2", "3"})});
    if (kind < 42) return line({"qdone"});
    if (kind < 45) return limited(line({"qjoin"}));
    if (kind < 46) return line({"qshut", std::to_string(random(2))});
    if (kind < 48) return line({"qnew"});
    if (kind < 50) return line({"putnow", number()});
    return line({"getnow"});
  }

  // Most of what may wait for ever gets a limit, or most programs would stand still soon.
  Lines limited(const Lines& lines) {
    if (random(3) == 0) return lines;
    return nest({"timeout", one_of({"5", "10", "20", "40"}), std::to_string(lines.size())}, lines);
  }

  Lines callback(int depth, int level) {
    const Lines inner = quick_block(depth, level);
    const std::string size = std::to_string(inner.size());
    const int kind = random(6);
    if (kind < 2) return nest({"soon", handle(), size}, inner);
    return nest({kind < 5 ? "later" : "at", handle(), milliseconds(), size}, inner);
  }

  Lines quick_block(int depth, int level) {
    Lines lines;
    for (int count = 1 + random(2); count > 0; --count) append(lines, quick_instruction(depth, level));
    return lines;
  }

  // What a callback can do: nothing that waits.
  Lines quick_instruction(int depth, int level) {
    const int kind = random(15);
    if (kind < 2) return line({"log", "L" + number()});
    if (kind < 4) return line({"set", variable(), number()});
    if (kind < 5) return line({"fail", variable(), number()});
    if (kind < 7) return line({"cancel", variable(), "m" + number()});
    if (kind < 8) return line({"eset", event()});
    if (kind < 9) return line({"putnow", number()});
    if (kind < 10) return line({"getnow"});
    if (kind < 11) return line({"hcancel", handle()});
    if (kind < 12) return line({"uncancel", variable()});
    if (kind < 13) return line({"raise", number()});
    if (kind < 14 && level < kDeepestLevel) return line({"spawn", kNames[level], variable()});
    if (depth < kDeepestCallback) return callback(depth + 1, level);
    return line({"qdone"});
  }

  void emit(const std::string& name, const Lines& lines) {
    text_ += "task " + name + "\n";
    for (const Line& line : lines) {
      text_ += " ";  // and one blank before each word
      for (const std::string& word : line) text_ += " " + word;
      text_ += "\n";
    }
    text_ += "end\n";
  }

  const bool whole_language_;
  std::uint64_t state_;
  std::string text_;
};

}  // namespace

std::string generate_program(std::uint64_t seed) { return Generator(seed).program(); }

}  // namespace conf
