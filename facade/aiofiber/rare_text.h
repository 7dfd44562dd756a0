// SPDX-License-Identifier: Apache-2.0
//
// RareText: a text that is nearly always empty, at the size of a pointer.
//
// Every future and every task can be cancelled with a message, and hardly any is. Three std::strings in each would be a
// quarter of a task. Setting no text allocates nothing.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace aiofiber::detail {

class RareText {
 public:
  RareText& operator=(std::string_view text) {
    // The new one first: `text` may be part of the old one.
    text_ = text.empty() ? nullptr : std::make_unique<const std::string>(text);
    return *this;
  }
  std::string_view view() const noexcept { return text_ != nullptr ? std::string_view(*text_) : std::string_view(); }

 private:
  std::unique_ptr<const std::string> text_;
};

}  // namespace aiofiber::detail
