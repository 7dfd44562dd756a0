// SPDX-License-Identifier: Apache-2.0
//
// python/fuzz_gen.py draws each random number at the same place; the two files must draw in the same order.
// So values are drawn in separate statements or between braces, never as arguments of one call.
#include "fuzz_gen.h"

#include <initializer_list>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

namespace conf {
namespace {

using Line = std::vector<std::string>;
using Lines = std::vector<Line>;
using MaybeLines = std::optional<Lines>;  // none: not possible at this place

constexpr const char* kNames[] = {"a", "b", "c", "d"};
constexpr int kDeepestLevel = 3;  // bodies of this level and below start no others
constexpr int kDeepestBlock = 3;
constexpr int kDeepestTry = 4;
// The programs of this seed and larger ones are about streams; the others have none.
constexpr std::uint64_t kFirstWithStreams = 5001;

struct Place {
  int depth;  // of blocks in blocks
  int level;  // of bodies that start bodies
  Place deeper() const { return {depth + 1, level}; }
};

// What may raise. Most of it gets a `try`, or programs would end after a few lines.
bool is_risky(const std::string& name) {
  static const std::set<std::string> risky = {
      "await",   "gather",  "wait",     "ascomp",      "waitfor",   "wfco",   "shield", "sleep",
      "timeout", "resched", "tryraise", "group",       "raise",     "cond",   "cwait",  "cwaitfor",
      "notify",  "ewait",   "bwait",    "put",         "get",       "putnow", "getnow", "qdone",
      "qjoin",   "read",    "readline", "readexactly", "readuntil", "lines"};
  return risky.contains(name);
}

void append(Lines& to, const Lines& lines) { to.insert(to.end(), lines.begin(), lines.end()); }

// A line that ends in how many lines there are, and these lines.
Lines nest(Line first, const Lines& inner) {
  first.push_back(std::to_string(inner.size()));
  Lines lines{std::move(first)};
  append(lines, inner);
  return lines;
}

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : state_(seed), with_streams_(seed >= kFirstWithStreams) {}

  std::string program() {
    std::string text = body("main", main());
    for (int level = 1; level <= 4; ++level)
      text += body(kNames[level - 1], block({0, level}, 4 + random(6)));
    return text;
  }

 private:
  // A share and what makes the lines.
  struct Choice {
    int share;
    MaybeLines (Generator::*make)(Place);
  };
  using Table = std::span<const Choice>;
  static std::span<const Table> subjects();
  static Table instructions();  // of all subjects
  static Table quick_instructions();
  static Table stream_instructions();
  static Table quick_with_streams();

  static std::string body(const char* name, const Lines& lines) {
    std::string text = std::string("task ") + name + "\n";
    for (const Line& line : lines) {
      text += " ";  // and one blank before each word
      for (const std::string& word : line) text += " " + word;
      text += "\n";
    }
    return text + "end\n";
  }

  // When it ends everything is cancelled; the others have some time before that.
  Lines main() {
    Lines lines{{"spawn", "a", "v0"}, {"spawn", "a", "v1"}, {"spawn", "b", "v2"}, {"fut", "v3"}};
    const Lines first = block({0, 0}, 6 + random(6));
    lines.push_back({"finally", std::to_string(first.size()), "1"});
    append(lines, first);
    lines.push_back({"sleep", "300"});
    return lines;
  }

  // ---- draws
  // The generator splitmix64.
  int random(int below) {
    state_ += 0x9E3779B97F4A7C15;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB;
    return static_cast<int>((mixed ^ mixed >> 31) % static_cast<std::uint64_t>(below));
  }
  std::string one_of(std::initializer_list<const char*> choices) {
    return choices.begin()[random(static_cast<int>(choices.size()))];
  }
  // A choice that is not possible at its place leaves it to the next; the last of a table always is.
  Lines pick(Table table, Place place) {
    const int sum =
        std::accumulate(table.begin(), table.end(), 0, [](int n, const Choice& c) { return n + c.share; });
    int left = random(sum);
    for (const Choice& choice : table) {
      left -= choice.share;
      if (left >= 0) continue;
      if (const MaybeLines lines = (this->*choice.make)(place)) return *lines;
    }
    return {};
  }
  std::string number() { return std::to_string(random(100)); }
  std::string numbered(const char* letter, int below) { return letter + std::to_string(random(below)); }
  std::string variable() { return numbered("v", 4); }
  std::string event() { return numbered("e", 2); }
  std::string handle() { return numbered("h", 3); }
  std::string removable() { return numbered("c", 3); }
  std::string parties() { return one_of({"2", "2", "3"}); }
  std::string delay() { return one_of({"0", "0", "10", "20", "30", "50"}); }
  std::string limit() { return one_of({"-1", "0", "10", "30"}); }
  std::string waiting_limit() { return one_of({"-1", "10", "30"}); }

  // ---- blocks
  Lines block(Place place, int count) {
    Lines lines;
    for (int i = 0; i < count; ++i) append(lines, guarded(place));
    return lines;
  }
  Lines guarded(Place place) {
    const Lines lines = pick(random(2) == 0 ? theme_ : instructions(), place);
    if (place.depth < kDeepestTry && is_risky(lines[0][0]) && random(10) < 8) return nest({"try"}, lines);
    return lines;
  }
  // The lines of a block at this place; where blocks are deep enough a sleep.
  Lines inner(Place place, int most) {
    if (place.depth >= kDeepestBlock) return line({"sleep", delay()});
    return block(place.deeper(), 1 + random(most));
  }
  Lines quick_block(Place place) {
    Lines lines;
    const Table quick = with_streams_ ? quick_with_streams() : quick_instructions();
    for (int count = 1 + random(2); count > 0; --count) append(lines, pick(quick, place));
    return lines;
  }
  Lines in_timeout(const Lines& lines) { return nest({"timeout", one_of({"5", "10", "20", "50"})}, lines); }
  // Most of what may wait for ever gets a limit, or most programs would stand still soon.
  Lines limited(const Lines& lines) { return random(3) == 0 ? lines : in_timeout(lines); }
  // The elements of a braced list are evaluated from left to right.
  static Lines line(std::initializer_list<std::string> words) { return Lines{Line(words)}; }

  // ---- tasks and futures
  MaybeLines log(Place) { return line({"log", "L" + number()}); }
  // One task or two; two of a body meet at the same places.
  MaybeLines spawn(Place place) {
    if (place.level >= kDeepestLevel) return std::nullopt;
    const std::string name = kNames[place.level + random(2)];
    Lines lines;
    for (int count = 1 + random(2); count > 0; --count) lines.push_back({"spawn", name, variable()});
    return lines;
  }
  MaybeLines fut(Place) { return line({"fut", variable()}); }
  MaybeLines set(Place) { return line({"set", variable(), number()}); }
  MaybeLines fail(Place) { return line({"fail", variable(), number()}); }
  MaybeLines cancel(Place) { return line({"cancel", variable(), "m" + number()}); }
  MaybeLines uncancel(Place) { return line({"uncancel", variable()}); }
  MaybeLines uncancel_self(Place) { return line({"uncancel", "self"}); }
  MaybeLines await(Place) { return line({"await", variable()}); }
  MaybeLines sleep(Place) { return line({"sleep", delay()}); }
  MaybeLines gather(Place) { return line({"gather", one_of({"0", "1"}), variable(), variable()}); }
  MaybeLines wait(Place) {
    return line({"wait", one_of({"all", "first", "exc"}), waiting_limit(), variable(), variable()});
  }
  MaybeLines ascomp(Place) { return line({"ascomp", waiting_limit(), variable(), variable(), variable()}); }
  MaybeLines waitfor(Place) { return line({"waitfor", limit(), variable()}); }
  MaybeLines wfco(Place place) {
    if (place.level >= static_cast<int>(std::size(kNames))) return std::nullopt;
    return line({"wfco", limit(), kNames[place.level]});
  }
  MaybeLines shield(Place) { return line({"shield", variable()}); }

  // ---- the flow of control
  MaybeLines timeout(Place place) { return in_timeout(inner(place, 3)); }
  MaybeLines timeout_resched(Place place) {
    Lines lines = inner(place, 2);
    append(lines, line({"resched", limit()}));
    append(lines, inner(place, 1));
    return in_timeout(lines);
  }
  MaybeLines resched(Place) { return line({"resched", limit()}); }
  MaybeLines try_block(Place place) { return nest({"try"}, inner(place, 3)); }
  MaybeLines tryraise(Place place) { return nest({"tryraise"}, inner(place, 3)); }
  MaybeLines finally(Place place) {
    const Lines first = inner(place, 3);
    const Lines last = inner(place, 1);
    Lines lines = line({"finally", std::to_string(first.size()), std::to_string(last.size())});
    append(lines, first);
    append(lines, last);
    return lines;
  }
  MaybeLines group(Place place) {
    if (place.level >= kDeepestLevel) return std::nullopt;
    const Line start{"gspawn", kNames[place.level + random(2)]};
    Lines lines(static_cast<std::size_t>(1 + random(3)), start);
    append(lines, inner(place, 2));
    if (random(3) == 0) lines.push_back(start);  // refused if the group is ending by then
    return nest({"group"}, lines);
  }
  MaybeLines raise(Place) { return line({"raise", number()}); }
  MaybeLines leave(Place) { return line({"return", number()}); }

  // ---- locks
  MaybeLines lock(Place place) { return nest({"lock"}, inner(place, 3)); }
  MaybeLines sem(Place place) { return nest({"sem"}, inner(place, 3)); }
  MaybeLines cond(Place place) { return nest({"cond"}, inner(place, 2)); }
  MaybeLines notify(Place) { return nest({"cond"}, line({"notify", one_of({"1", "1", "2", "all"})})); }
  MaybeLines cwait(Place) { return limited(nest({"cond"}, line({"cwait"}))); }
  MaybeLines cwaitfor(Place) {
    return limited(nest({"cond"}, line({"cwaitfor", std::to_string(random(3))})));
  }
  // An error, or not if the lock is held by chance.
  MaybeLines unlocked(Place) { return random(2) == 0 ? line({"cwait"}) : line({"notify", "1"}); }
  MaybeLines eset(Place) { return line({"eset", event()}); }
  MaybeLines eclear(Place) { return line({"eclear", event()}); }
  MaybeLines ewait(Place) { return limited(line({"ewait", event()})); }
  MaybeLines bwait(Place) { return limited(line({"bwait", parties()})); }
  MaybeLines breset(Place) { return line({"breset", parties()}); }
  MaybeLines babort(Place) { return line({"babort", parties()}); }

  // ---- the queue
  MaybeLines put(Place) { return limited(line({"put", number()})); }
  MaybeLines get(Place) { return limited(line({"get"})); }
  MaybeLines work(Place) { return limited({{"get"}, {"qdone"}}); }
  MaybeLines putnow(Place) { return line({"putnow", number()}); }
  MaybeLines getnow(Place) { return line({"getnow"}); }
  MaybeLines qdone(Place) { return line({"qdone"}); }
  MaybeLines qjoin(Place) { return limited(line({"qjoin"})); }
  // Mostly there is another queue some time later.
  MaybeLines qshut(Place) {
    Lines lines = line({"qshut", one_of({"0", "1"})});
    if (random(3) == 0) return lines;
    append(lines, line({"sleep", delay()}));
    append(lines, line({"qnew"}));
    return lines;
  }
  MaybeLines qnew(Place) { return line({"qnew"}); }

  // ---- streams
  std::string reader() { return numbered("r", 2); }
  // Few different letters, so that separators occur, also in parts and in each other.
  std::string bytes(int most) {
    std::string text;
    for (int count = 1 + random(most); count > 0; --count) text += one_of({"a", "a", "b", "b", "/"});
    return text;
  }
  std::string most_of_reader() { return one_of({"1", "2", "4", "8", "65536"}); }
  // There is another reader some time later.
  Lines renewed(Lines lines) {
    append(lines, line({"sleep", delay()}));
    lines.push_back({"rnew", lines[0][1], most_of_reader()});
    return lines;
  }
  // One piece or several, to one reader.
  MaybeLines feed(Place) {
    const std::string name = reader();
    Lines lines;
    for (int count = 1 + random(3); count > 0; --count) lines.push_back({"feed", name, bytes(8)});
    return lines;
  }
  MaybeLines eof(Place) { return line({"eof", reader()}); }
  // Mostly a piece, the end, and another reader some time later.
  MaybeLines last_words(Place) {
    const std::string name = reader();
    Lines lines;
    if (random(4) > 0) lines.push_back({"feed", name, bytes(8)});
    lines.push_back({"eof", name});
    return renewed(lines);
  }
  MaybeLines rfail(Place) { return line({"rfail", reader(), number()}); }
  MaybeLines rfail_rnew(Place) { return renewed(line({"rfail", reader(), number()})); }
  MaybeLines rnew(Place) { return line({"rnew", reader(), most_of_reader()}); }
  // One read or several of one reader; most continue after an error.
  MaybeLines reads(Place) {
    const std::string name = reader();
    Lines lines;
    for (int count = 1 + random(3); count > 0; --count) {
      const Lines words{read(name)};
      append(lines, random(5) == 0 ? words : nest({"try"}, words));
    }
    return limited(lines);
  }
  Line read(const std::string& name) {
    Line words{one_of({"read", "read", "readline", "readline", "readexactly", "readexactly", "readuntil",
                       "readuntil", "readuntil"}),
               name};
    if (words[0] == "read") words.push_back(one_of({"-1", "-1", "0", "1", "2", "5", "5", "100"}));
    if (words[0] == "readexactly") words.push_back(one_of({"-1", "0", "1", "2", "3", "5", "9", "9"}));
    if (words[0] == "readuntil") add_separators(words);
    return words;
  }
  // One or several; seldom none, or an empty one.
  void add_separators(Line& words) {
    const int kind = random(40);
    if (kind == 0) return;
    for (int count = 1 + random(3); count > 0; --count) words.push_back(bytes(3));
    if (kind == 1) words.push_back("-");
  }
  MaybeLines lines_of_reader(Place) { return limited(line({"lines", reader()})); }
  MaybeLines rstate(Place) { return line({"rstate", reader()}); }

  // ---- callbacks
  MaybeLines callback(Place place) {
    Line words{one_of({"soon", "soon", "later", "later", "later", "at"}), handle()};
    if (words[0] != "soon") words.push_back(delay());
    return nest(words, quick_block(place));
  }
  MaybeLines hcancel(Place) { return line({"hcancel", handle()}); }
  MaybeLines ondone(Place place) {
    const Line words{"ondone", removable(), variable()};
    return nest(words, quick_block(place));
  }
  MaybeLines undone(Place) { return line({"undone", removable()}); }

  Table some_subject() {
    return subjects()[static_cast<std::size_t>(random(static_cast<int>(subjects().size())))];
  }

  std::uint64_t state_;
  const bool with_streams_;
  // Half of a program is about it, so that much of it meets.
  const Table theme_ = with_streams_ ? stream_instructions() : some_subject();
};

// What a body is made of: a subject a table.
std::span<const Generator::Table> Generator::subjects() {
  using G = Generator;
  static constexpr Choice futures[] = {
      {30, &G::log},    {45, &G::spawn},   {30, &G::fut},      {25, &G::set},
      {15, &G::fail},   {25, &G::cancel},  {20, &G::uncancel}, {10, &G::uncancel_self},
      {45, &G::await},  {50, &G::sleep},   {25, &G::gather},   {25, &G::wait},
      {30, &G::ascomp}, {25, &G::waitfor}, {35, &G::wfco},     {20, &G::shield},
  };
  static constexpr Choice flow[] = {
      {25, &G::timeout}, {25, &G::timeout_resched}, {8, &G::resched}, {15, &G::try_block}, {10, &G::tryraise},
      {20, &G::finally}, {15, &G::group},           {5, &G::raise},   {5, &G::leave},
  };
  static constexpr Choice locks[] = {{15, &G::lock}, {10, &G::sem}};
  static constexpr Choice condition[] = {
      {15, &G::cond}, {40, &G::notify}, {30, &G::cwait}, {20, &G::cwaitfor}, {4, &G::unlocked},
  };
  static constexpr Choice event[] = {{30, &G::eset}, {15, &G::eclear}, {40, &G::ewait}};
  static constexpr Choice barrier[] = {{60, &G::bwait}, {14, &G::breset}, {4, &G::babort}};
  static constexpr Choice producers[] = {
      {30, &G::put}, {15, &G::putnow}, {12, &G::qjoin}, {5, &G::qshut}, {3, &G::qnew},
  };
  static constexpr Choice consumers[] = {
      {20, &G::get},   {30, &G::work}, {10, &G::getnow}, {8, &G::qdone},
      {12, &G::qjoin}, {5, &G::qshut}, {3, &G::qnew},
  };
  static constexpr Choice callbacks[] = {
      {45, &G::callback},
      {15, &G::hcancel},
      {35, &G::ondone},
      {12, &G::undone},
  };
  static constexpr Table tables[] = {futures, flow,      locks,     condition, event,
                                     barrier, producers, consumers, callbacks};
  return tables;
}

Generator::Table Generator::instructions() {
  static const std::vector<Choice> all = [] {
    std::vector<Choice> choices;
    for (const Table table : subjects()) choices.insert(choices.end(), table.begin(), table.end());
    return choices;
  }();
  return all;
}

// What a callback is made of: nothing that waits.
Generator::Table Generator::quick_instructions() {
  using G = Generator;
  static constexpr Choice table[] = {
      {4, &G::log},    {4, &G::set},    {2, &G::fail},     {4, &G::cancel},  {3, &G::eset},
      {1, &G::eclear}, {4, &G::putnow}, {1, &G::getnow},   {2, &G::hcancel}, {2, &G::uncancel},
      {1, &G::raise},  {2, &G::spawn},  {4, &G::callback}, {2, &G::qdone},
  };
  return table;
}

Generator::Table Generator::stream_instructions() {
  using G = Generator;
  static constexpr Choice table[] = {
      {70, &G::feed},      {8, &G::eof},    {25, &G::last_words}, {2, &G::rfail},
      {8, &G::rfail_rnew}, {8, &G::rnew},   {120, &G::reads},     {15, &G::lines_of_reader},
      {8, &G::spawn},      {15, &G::sleep}, {15, &G::cancel},     {10, &G::rstate},
  };
  return table;
}

Generator::Table Generator::quick_with_streams() {
  using G = Generator;
  static const std::vector<Choice> all = [] {
    std::vector<Choice> choices{{16, &G::feed}, {2, &G::eof}, {2, &G::rfail}, {1, &G::rnew}, {2, &G::rstate}};
    choices.insert(choices.end(), quick_instructions().begin(), quick_instructions().end());
    return choices;
  }();
  return all;
}

}  // namespace

std::string generate_program(std::uint64_t seed) { return Generator(seed).program(); }

}  // namespace conf
