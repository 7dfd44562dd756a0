// SPDX-License-Identifier: Apache-2.0
//
// WriteBuffer: the bytes of a transport that the kernel has not taken yet, in the order of the writes.
//
// Small pieces are gathered in one, large ones keep the memory in which they came. The pieces are sent by one
// system call (sendmsg, writev).
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "aiofiber/runtime/engine/assert.h"

namespace aiofiber::detail {

class WriteBuffer {
 public:
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    if (pieces_.empty() || pieces_.back().size() + bytes.size() > kLargestGathered) {
      pieces_.emplace_back(bytes);
    } else {
      pieces_.back().append(bytes);
    }
    size_ += bytes.size();
  }
  // Without the first `sent` bytes.
  void append(std::string&& bytes, std::size_t sent) {
    const std::size_t left = bytes.size() - sent;
    if (left <= kLargestGathered / 4 || !pieces_.empty()) {
      append(std::string_view(bytes).substr(sent));
      return;
    }
    pieces_.push_back(std::move(bytes));
    begin_ = sent;
    size_ += left;
  }

  // The first pieces, for a system call. Valid until the next change.
  std::span<const iovec> pieces(std::span<iovec> out) const noexcept {
    std::size_t count = 0;
    for (auto piece = pieces_.begin(); piece != pieces_.end() && count < out.size(); ++piece, ++count) {
      const std::size_t skipped = count == 0 ? begin_ : 0;
      out[count] = {const_cast<char*>(piece->data()) + skipped, piece->size() - skipped};
    }
    return out.first(count);
  }
  // The kernel took so many bytes.
  void consume(std::size_t bytes) noexcept {
    AIOFIBER_ASSERT(bytes <= size_);
    size_ -= bytes;
    while (bytes > 0) {
      const std::size_t left = pieces_.front().size() - begin_;
      if (bytes < left) {
        begin_ += bytes;
        return;
      }
      bytes -= left;
      begin_ = 0;
      pieces_.pop_front();
    }
  }
  void clear() noexcept {
    pieces_.clear();
    size_ = begin_ = 0;
  }

 private:
  static constexpr std::size_t kLargestGathered = 64 * 1024;

  std::deque<std::string> pieces_;  // none is empty
  std::size_t begin_ = 0;           // of the first piece: what is sent already
  std::size_t size_ = 0;            // of all that is not sent
};

}  // namespace aiofiber::detail
