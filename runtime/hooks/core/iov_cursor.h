// SPDX-License-Identifier: Apache-2.0
//
// IovCursor: the rest of an iovec array after part of it has been transferred.
//
// Never copies the array. After part of a piece was moved, it offers the rest of that piece alone, then the
// rest of the caller's array. So it needs no memory, and a started transfer cannot fail for lack of it.
#pragma once

#include <sys/uio.h>

#include <cstddef>

namespace aiofiber::hooks {

class IovCursor {
 public:
  IovCursor(const iovec* pieces, std::size_t count) noexcept : pieces_(pieces), count_(count) {
    skip_empty();
  }

  bool at_end() const noexcept { return count_ == 0; }
  // The next part to transfer: all that is left, or the rest of one piece.
  const iovec* pieces() const noexcept { return offset_ == 0 ? pieces_ : &partial_; }
  std::size_t count() const noexcept { return offset_ == 0 ? count_ : 1; }

  void advance(std::size_t bytes) noexcept {
    while (count_ > 0 && bytes >= pieces_->iov_len - offset_) {
      bytes -= pieces_->iov_len - offset_;
      next_piece();
    }
    if (count_ == 0) return;
    offset_ += bytes;
    partial_ = {static_cast<char*>(pieces_->iov_base) + offset_, pieces_->iov_len - offset_};
  }

 private:
  void next_piece() noexcept {
    ++pieces_;
    --count_;
    offset_ = 0;
  }
  void skip_empty() noexcept {
    while (count_ > 0 && pieces_->iov_len == 0) next_piece();
  }

  const iovec* pieces_;
  std::size_t count_;
  std::size_t offset_ = 0;  // into the first piece
  iovec partial_{};         // valid while offset_ > 0
};

inline std::size_t total_length(const iovec* pieces, std::size_t count) noexcept {
  std::size_t total = 0;
  for (std::size_t i = 0; i < count; ++i) total += pieces[i].iov_len;
  return total;
}

}  // namespace aiofiber::hooks
