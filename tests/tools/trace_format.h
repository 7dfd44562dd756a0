// SPDX-License-Identifier: Apache-2.0
//
// The requirements of a viewer on a timeline: the rules of the Trace Event Format (a public document of the
// Chromium project) for our events. A JSON library and code that does not know the writer check them.
#pragma once

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace aiofiber::tool_test {

class TraceFormat {
 public:
  // Empty when all is well.
  static std::vector<std::string> complaints(const std::string& text) {
    TraceFormat format;
    format.read(text);
    if (format.complaints_.size() > 10) format.complaints_.resize(10);
    return format.complaints_;
  }

 private:
  using Json = rapidjson::Value;
  struct Slice {
    std::int64_t begin, end;  // ns
  };
  struct End {
    std::string row;
    std::int64_t time;
    std::string name, category;
  };

  void complain(const std::string& what) {
    complaints_.push_back("event " + std::to_string(number_) + ": " + what);
  }
  static std::int64_t ns(const Json& value) { return std::llround(value.GetDouble() * 1000); }

  void read(const std::string& text) {
    rapidjson::Document file;
    file.Parse<rapidjson::kParseValidateEncodingFlag>(text.data(), text.size());
    if (file.HasParseError()) return complain(rapidjson::GetParseError_En(file.GetParseError()));
    if (!file.IsArray()) return complain("the file is no array of events");
    for (const Json& event : file.GetArray()) {
      ++number_;
      if (!event.IsObject() || !event.HasMember("ph") || !event["ph"].IsString() ||
          event["ph"].GetStringLength() != 1) {
        complain("no \"ph\" of one letter");
        continue;
      }
      if (!event.HasMember("pid") || !event["pid"].IsUint() || !event.HasMember("tid") ||
          !event["tid"].IsUint64()) {
        complain("no \"pid\" or \"tid\"");
        continue;
      }
      take(event, event["ph"].GetString()[0],
           std::to_string(event["pid"].GetUint()) + "/" + std::to_string(event["tid"].GetUint64()));
    }
    finish();
  }

  void take(const Json& event, char phase, const std::string& row) {
    const bool named = event.HasMember("name") && event["name"].IsString();
    if (!named) return complain("no \"name\"");
    if (phase == 'M') {
      if (!event.HasMember("args") || !event["args"].IsObject()) return complain("metadata without \"args\"");
      if (std::string(event["name"].GetString()) == "thread_name") names_.insert(row);
      if (std::string(event["name"].GetString()) == "process_name") has_process_name_ = true;
      return;
    }
    if (!event.HasMember("ts") || !event["ts"].IsNumber() || event["ts"].GetDouble() < 0)
      return complain("no \"ts\"");
    if (!event.HasMember("cat") || !event["cat"].IsString()) return complain("no \"cat\"");
    const std::int64_t time = ns(event["ts"]);
    if (phase == 'X') {
      if (!event.HasMember("dur") || !event["dur"].IsNumber() || event["dur"].GetDouble() < 0)
        return complain("no \"dur\"");
      slices_[row].push_back({time, time + ns(event["dur"])});
    } else if (phase == 's' || phase == 'f') {
      if (!event.HasMember("id") || !event["id"].IsUint64()) return complain("an arrow without \"id\"");
      auto& ends = phase == 's' ? begins_ : ends_;
      const bool fresh = ends.emplace(event["id"].GetUint64(),
                                      End{row, time, event["name"].GetString(), event["cat"].GetString()})
                             .second;
      if (!fresh) complain("two arrows of one id");
      // Viewers sort by time, and leave equal ones in the order of the file: the slice must come before what
      // binds to it.
      const auto rows = slices_.find(row);
      const bool known =
          rows != slices_.end() && rows->second.back().begin <= time && time <= rows->second.back().end;
      if (phase == 'f' && !known) complain("an arrow comes before the slice that it leads to");
      if (phase == 'f' && (!event.HasMember("bp") || std::string(event["bp"].GetString()) != "e"))
        complain("an arrow's end that binds to the next slice");
    } else if (phase == 'i') {
      if (!event.HasMember("s")) complain("an instant without a scope");
    } else {
      complain("a phase that aiofiber does not write");
    }
  }

  void finish() {
    if (!has_process_name_) complain("no process_name");
    for (auto& [row, slices] : slices_) {
      if (names_.count(row) == 0) complain("no thread_name for " + row);
      check_nesting(row, slices);
    }
    if (begins_.size() != ends_.size()) complain("arrows without one of their ends");
    for (const auto& [id, begin] : begins_) {
      const auto end = ends_.find(id);
      if (end == ends_.end()) continue;
      if (begin.name != end->second.name || begin.category != end->second.category)
        complain("the two ends of an arrow have different names");
      if (begin.time > end->second.time) complain("an arrow into the past");
      if (!on_a_slice(begin) || !on_a_slice(end->second)) complain("an arrow hangs in the air");
    }
  }

  // Slices of a row lie in each other or apart. Times are cut to nanoseconds, so neighbours may share one.
  void check_nesting(const std::string& row, std::vector<Slice>& slices) {
    std::stable_sort(slices.begin(), slices.end(), [](const Slice& a, const Slice& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
    });
    std::vector<std::int64_t> open;
    for (const Slice& slice : slices) {
      while (!open.empty() && open.back() <= slice.begin) open.pop_back();
      if (!open.empty() && slice.end > open.back() + 1 && slice.begin + 1 < open.back())
        complain("slices of " + row + " cross");
      open.push_back(slice.end);
    }
  }

  bool on_a_slice(const End& end) const {
    const auto found = slices_.find(end.row);
    if (found == slices_.end()) return false;
    for (const Slice& slice : found->second) {
      if (slice.begin - 1 <= end.time && end.time <= slice.end + 1) return true;
    }
    return false;
  }

  std::size_t number_ = 0;
  std::vector<std::string> complaints_;
  std::map<std::string, std::vector<Slice>> slices_;
  std::map<std::uint64_t, End> begins_, ends_;
  std::set<std::string> names_;
  bool has_process_name_ = false;
};

}  // namespace aiofiber::tool_test
