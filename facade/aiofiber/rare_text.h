// SPDX-License-Identifier: Apache-2.0
//
// RareText: a text that is nearly always empty. It has the size of a pointer, and copies share the text.
//
// Every future and every task can be cancelled with a message, but few are. Three std::strings in each task
// would be a quarter of its size. The first holder allocates a message. Passing it down a chain of tasks
// allocates nothing, so a cancellation request cannot fail half-way. Threads: the loop's only; counts are
// plain integers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "aiofiber/runtime/engine/intrusive.h"

namespace aiofiber::detail {

class RareText {
 public:
  RareText() noexcept = default;
  // Allocates, unless the text is empty.
  explicit RareText(std::string text) : text_(text.empty() ? nullptr : new Shared(std::move(text))) {}
  std::string_view view() const noexcept {
    return text_ ? std::string_view(text_->text) : std::string_view();
  }

 private:
  struct Shared {
    explicit Shared(std::string its_text) noexcept : text(std::move(its_text)) {}
    void retain() noexcept { ++references; }
    void release() noexcept {
      if (--references == 0) delete this;
    }
    std::uint32_t references = 0;
    const std::string text;
  };
  runtime::Ref<Shared> text_;
};

}  // namespace aiofiber::detail
