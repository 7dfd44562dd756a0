// SPDX-License-Identifier: Apache-2.0
//
// Writes JSON in the order of the calls. It adds commas, quotes and escapes; the caller is responsible for
// the structure.
#pragma once

#include <absl/strings/str_cat.h>

#include <concepts>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "inspect/utf8.h"

namespace aiofiber::tool {

class JsonWriter {
 public:
  explicit JsonWriter(std::ostream& out) : out_(out) {}

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }
  // The name of an object's member; the next call writes its value.
  void key(std::string_view name) {
    separate();
    write(name);
    out_ << ':';
    behind_key_ = true;
  }
  void value(std::string_view text) {
    separate();
    write(text);
  }
  void value(const char* text) { value(std::string_view(text)); }
  void value(bool flag) { raw(flag ? "true" : "false"); }
  void value(std::integral auto number) {
    const absl::AlphaNum digits(number);
    raw({digits.data(), digits.size()});
  }
  void null() { raw("null"); }

  void member(std::string_view name, const auto& content) {
    key(name);
    value(content);
  }

 private:
  void raw(std::string_view text) {
    separate();
    out_ << text;
  }
  void open(char bracket) {
    separate();
    out_ << bracket;
    first_.push_back(true);
  }
  void close(char bracket) {
    first_.pop_back();
    out_ << bracket;
    if (first_.empty()) out_ << '\n';
  }
  void separate() {
    if (behind_key_) {
      behind_key_ = false;
    } else if (!first_.empty()) {
      if (!first_.back()) out_ << (first_.size() <= 2 ? ",\n" : ",");
      first_.back() = false;
    }
  }
  void write(std::string_view text) {
    text_.clear();
    runtime::append_json_string(text, text_);
    out_ << text_;
  }

  std::string text_;
  std::ostream& out_;
  std::vector<bool> first_;  // for each open bracket: it has no element yet
  bool behind_key_ = false;
};

}  // namespace aiofiber::tool
