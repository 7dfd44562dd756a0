// SPDX-License-Identifier: Apache-2.0
//
// A killed program leaves an incomplete last line. An incomplete line in the middle is damage and is
// reported.
#include "trace_file.h"

#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "failure.h"

namespace aiofiber::tool {
namespace {

using Json = rapidjson::Value;
using Kind = TraceLine::Kind;

constexpr std::size_t kPieceBytes = 1 << 20;
constexpr std::size_t kLongestLine = 1 << 16;  // the longest lines of aiofiber have a few hundred bytes

const Json* find(const Json& object, const char* name) {
  if (!object.IsObject()) return nullptr;
  const auto found = object.FindMember(name);
  return found != object.MemberEnd() ? &found->value : nullptr;
}

// The error of a line is an exception: the caller knows the line's number.
struct BadLine {
  std::string why;
};

std::string text_of(const Json& object, const char* name) {
  const Json* value = find(object, name);
  if (value == nullptr || !value->IsString()) throw BadLine{std::string("it has no text \"") + name + '"'};
  return {value->GetString(), value->GetStringLength()};
}

std::uint64_t count_of(const Json& object, const char* name) {
  const Json* value = find(object, name);
  if (value == nullptr || !value->IsUint64())
    throw BadLine{std::string("it has no whole number \"") + name + '"'};
  return value->GetUint64();
}

// Microseconds with a fraction, as the format requires.
std::int64_t time_of(const Json& object, const char* name) {
  const Json* value = find(object, name);
  constexpr double kMost = 1e15;  // 30 years: these values are summed up later
  if (value == nullptr || !value->IsNumber() || !(std::abs(value->GetDouble()) < kMost)) {
    throw BadLine{std::string("it has no time \"") + name + '"'};
  }
  return std::llround(value->GetDouble() * 1000);
}

const Json& arguments_of(const Json& event) {
  const Json* arguments = find(event, "args");
  if (arguments == nullptr || !arguments->IsObject()) throw BadLine{"it has no object \"args\""};
  return *arguments;
}

void read_metadata(const Json& event, TraceLine& line) {
  const std::string what = text_of(event, "name");
  const Json& arguments = arguments_of(event);
  if (what == "process_name" || what == "thread_name") {
    line.kind = what == "process_name" ? Kind::kProcessName : Kind::kRowName;
    line.name = text_of(arguments, "name");
  } else if (what == "aiofiber_sampled") {
    line.kind = Kind::kSampled;
    line.interval_us = count_of(arguments, "interval_us");
    line.name = text_of(arguments, "note");
  } else if (what == "aiofiber_task") {
    line.kind = Kind::kTaskCounts;
    line.runs = count_of(arguments, "runs");
    line.samples = count_of(arguments, "samples_on_cpu");
  } else if (what == "aiofiber_trace") {
    line.kind = Kind::kEnd;
    line.lost = count_of(arguments, "lost");
  }
}

TraceLine read_event(const Json& event) {
  TraceLine line;
  if (!event.IsObject()) throw BadLine{"it is no JSON object"};
  const std::string phase = text_of(event, "ph");
  line.row = count_of(event, "tid");
  if (phase == "M") {
    read_metadata(event, line);
    return line;
  }
  line.begin_ns = time_of(event, "ts");
  if (phase == "X") {
    line.kind = Kind::kSlice;
    line.name = text_of(event, "name");
    line.category = text_of(event, "cat");
    line.duration_ns = time_of(event, "dur");
    if (line.duration_ns < 0) throw BadLine{"its \"dur\" is negative"};
  } else if (phase == "s" || phase == "f") {
    line.kind = phase == "s" ? Kind::kArrowBegin : Kind::kArrowEnd;
    line.arrow = count_of(event, "id");
  } else if (phase == "i") {
    line.name = text_of(event, "name");
    const Json* category = find(event, "cat");
    if (category != nullptr && category->IsString() && std::strcmp(category->GetString(), "lost") == 0)
      line.kind = Kind::kLost;
  }
  return line;
}

class Reader {
 public:
  Reader(std::string path, absl::FunctionRef<void(const TraceLine&)> use)
      : path_(std::move(path)), use_(use) {}
  ~Reader() {
    if (fd_ >= 0) close(fd_);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  TraceFileEnd read() {
    open();
    std::string rest;
    std::vector<char> piece(kPieceBytes);
    for (;;) {
      const ssize_t got = ::read(fd_, piece.data(), piece.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail(std::string("cannot be read: ") + std::strerror(errno));
      if (got == 0) break;
      end_.bytes += static_cast<std::uint64_t>(got);
      rest.append(piece.data(), static_cast<std::size_t>(got));
      std::size_t from = 0;
      for (std::size_t to; (to = rest.find('\n', from)) != std::string::npos; from = to + 1) {
        rest[to] = '\0';
        take(&rest[from], to - from);
      }
      rest.erase(0, from);
      if (rest.size() > kLongestLine) {
        fail(absl::StrCat("line ", number_ + 1,
                          " is longer than any that aiofiber writes: another program's trace?"));
      }
    }
    if (end_.bytes == 0) {
      fail(
          "is empty: its program was killed before it wrote anything (it does so every tenth of a second), "
          "or it is no trace");
    }
    if (number_ == 0 && rest != "[") fail(kNoTrace);
    // The file ends in the middle of a line: "]" alone may be the rest of one.
    if (rest == "]" && end_seen_) rest.clear(), end_.complete = true;
    end_.cut_off = rest.size();
    return end_;
  }

 private:
  static constexpr char kNoTrace[] =
      "is no trace of aiofiber, which begins with a line \"[\" and has an event a line";

  [[noreturn]] void fail(const std::string& what) const {
    throw Failure(Exit::kCore, "'" + path_ + "' " + what);
  }

  void open() {
    fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) throw Failure(Exit::kCore, "cannot open '" + path_ + "': " + std::strerror(errno));
    struct stat status {};
    if (fstat(fd_, &status) == 0 && S_ISDIR(status.st_mode)) fail("is a folder");
  }

  // A complete line, which ends with a zero byte.
  void take(char* text, std::size_t length) {
    ++number_;
    if (number_ == 1) {
      if (std::string_view(text, length) != "[") fail(kNoTrace);
      return;
    }
    if (end_.complete)
      bad_line(
          "it comes behind the end: do two programs write to this file? (%p in its name is the process's "
          "id)");
    if (std::string_view(text, length) == "]") {
      if (!end_seen_) bad_line("the end comes without its event");
      end_.complete = true;
      return;
    }
    if (length > 0 && text[length - 1] == ',') text[--length] = '\0';
    rapidjson::MemoryPoolAllocator<> pool(memory_, sizeof memory_);
    rapidjson::Document document(&pool);
    // Not in place, and with a limited depth: the input must not decide how much stack is used.
    document.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(text, length);
    if (document.HasParseError()) {
      bad_line(std::string("it is no JSON (") + rapidjson::GetParseError_En(document.GetParseError()) + ")");
    }
    try {
      const TraceLine line = read_event(document);
      end_seen_ = line.kind == Kind::kEnd;
      use_(line);
    } catch (const BadLine& bad) {
      bad_line(bad.why);
    }
    ++end_.lines;
  }

  [[noreturn]] void bad_line(const std::string& why) const {
    fail(absl::StrCat("is damaged: line ", number_, " is no event: ", why));
  }

  const std::string path_;
  const absl::FunctionRef<void(const TraceLine&)> use_;
  int fd_ = -1;
  std::uint64_t number_ = 0;  // of the line
  bool end_seen_ = false;     // the last event marks the end
  TraceFileEnd end_;
  alignas(16) char memory_[8192];  // enough for the JSON of one line
};

}  // namespace

TraceFileEnd read_trace_file(const std::string& path, absl::FunctionRef<void(const TraceLine&)> use) {
  return Reader(path, use).read();
}

}  // namespace aiofiber::tool
