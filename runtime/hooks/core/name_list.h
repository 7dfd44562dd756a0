// SPDX-License-Identifier: Apache-2.0
//
// A list in an environment variable: items separated by colons; empty items are skipped.
//
// It is read without a copy, so it can be used where nothing may be allocated. The caller interprets the
// items.
#pragma once

#include <optional>
#include <string_view>

namespace aiofiber::hooks {

// Lifetime: the text's. Threads: one at a time; the text must not change meanwhile.
class NameList {
 public:
  explicit NameList(std::string_view text) noexcept : rest_(text) {}

  std::optional<std::string_view> next() noexcept {
    while (!rest_.empty()) {
      const std::size_t colon = rest_.find(':');
      const std::string_view item = rest_.substr(0, colon);
      rest_ = colon == std::string_view::npos ? std::string_view() : rest_.substr(colon + 1);
      if (!item.empty()) return item;
    }
    return std::nullopt;
  }

 private:
  std::string_view rest_;
};

}  // namespace aiofiber::hooks
