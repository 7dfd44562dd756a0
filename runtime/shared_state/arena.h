// SPDX-License-Identifier: Apache-2.0
//
// Memory for what signal handlers note.
//
// A handler may interrupt the program's allocator, so it gets memory of its own, in large pieces from the
// kernel, which get it back with the arena; objects that are no longer used are kept in lists by who makes
// them. It has a limit; a part below it is kept for small things without which reports would be wrong.
// Nothing of it lies in a module's data, so watching that data never disturbs the watcher. Threads: one.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

#include "aiofiber/runtime/engine/syscall.h"

namespace aiofiber::runtime::shared_state {

class Arena {
 public:
  explicit Arena(std::size_t bytes_max) noexcept : bytes_max_(bytes_max) {}
  ~Arena() {
    while (pieces_ != nullptr) {
      Piece* const piece = std::exchange(pieces_, pieces_->next);
      sys::unmap(piece, piece->bytes);
    }
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Null: the kernel has no memory, or it would be more than allowed.
  void* allocate(std::size_t bytes) noexcept {
    bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (bytes > left_) {
      const std::size_t size = kAlignment + (bytes > kPieceBytes ? bytes : kPieceBytes);
      if (used_ + size > bytes_max_) return nullptr;
      void* const memory = sys::map_anonymous(size);
      if (memory == MAP_FAILED) return nullptr;
      pieces_ = new (memory) Piece{pieces_, size};
      next_ = static_cast<char*>(memory) + kAlignment;
      left_ = size - kAlignment;
      used_ += size;
    }
    left_ -= bytes;
    return std::exchange(next_, next_ + bytes);
  }
  // From now on only small things are for allocate(): who asks for them, and stacks.
  bool is_full() const noexcept { return used_ + kReserveBytes > bytes_max_; }
  template <class T>
  T* make() noexcept {
    void* const memory = allocate(sizeof(T));
    return memory == nullptr ? nullptr : new (memory) T();
  }

 private:
  static constexpr std::size_t kAlignment = 64;
  static constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
  static constexpr std::size_t kReserveBytes = 2 * kPieceBytes;
  struct Piece {
    Piece* next;
    std::size_t bytes;
  };
  Piece* pieces_ = nullptr;
  char* next_ = nullptr;
  std::size_t left_ = 0;
  std::size_t used_ = 0;
  const std::size_t bytes_max_;
};

}  // namespace aiofiber::runtime::shared_state
