// SPDX-License-Identifier: Apache-2.0
//
// RareText: a text that is nearly always empty, at the size of a pointer, and that copies share.
//
// Every future and every task can be cancelled with a message, and hardly any is. Three std::strings in each
// would be a quarter of a task. A message is allocated once, by whoever has it first: handing it down a chain
// of tasks allocates nothing, so that a request to end cannot fail half-way. Threads: the loop's only; counts
// are plain integers.
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
