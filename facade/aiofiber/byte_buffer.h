// SPDX-License-Identifier: Apache-2.0
//
// ByteBuffer: the bytes of a stream that came and were not read. Bytes go in at the end and out at the front.
//
// An empty buffer lends out memory of the thread, so that a read takes all that the kernel has, and an idle
// stream keeps hardly any memory of its own. A small read is copied into the buffer. A large one is not: the
// buffer keeps the memory, and gives it back when it is empty. A buffer that holds bytes doubles when a read
// has filled it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace aiofiber::detail {

class ByteBuffer {
 public:
  ByteBuffer() noexcept = default;
  ~ByteBuffer() { release(); }
  ByteBuffer(const ByteBuffer&) = delete;
  ByteBuffer& operator=(const ByteBuffer&) = delete;

  std::size_t size() const noexcept { return end_ - begin_; }
  bool empty() const noexcept { return begin_ == end_; }
  // Valid until the next change.
  std::string_view view() const noexcept { return {memory_.get() + begin_, size()}; }

  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(room_for(bytes.size()).data(), bytes.data(), bytes.size());
    end_ += bytes.size();
  }
  // Free memory for more bytes, at least one. added() says how much of it was filled, before anything else is
  // done with a buffer of this thread.
  std::span<char> free_end() {
    const std::span<char> lent = empty() ? thread_memory() : std::span<char>();
    is_lent_ = !lent.empty();
    if (is_lent_) return lent;
    return room_for(was_filled_ ? std::min(capacity_, kMostAtOnce) : kLeast);
  }
  void added(std::size_t bytes) {
    if (is_lent_) return take_lent(bytes);
    end_ += bytes;
    was_filled_ = end_ == capacity_;
  }

  std::string take(std::size_t bytes) {
    std::string taken(view().substr(0, bytes));
    drop(bytes);
    return taken;
  }
  std::string take_all() { return take(size()); }
  void drop(std::size_t bytes) noexcept {
    begin_ += std::min(bytes, size());
    if (begin_ == end_) clear();
  }
  void clear() noexcept {
    begin_ = end_ = 0;
    was_filled_ = false;
    if (capacity_ > kKept) release();
  }

 private:
  static constexpr std::size_t kKept = 512;
  static constexpr std::size_t kLeast = 4 * 1024;
  static constexpr std::size_t kMostAtOnce = 256 * 1024;
  // Up to here a read is copied: unread bytes keep at most four times as much memory as they are.
  static constexpr std::size_t kCopied = kMostAtOnce / 4;

  // All free memory at the end, at least `bytes`.
  std::span<char> room_for(std::size_t bytes) {
    if (capacity_ - end_ < bytes) make_room(bytes);
    return {memory_.get() + end_, capacity_ - end_};
  }
  void make_room(std::size_t bytes);
  static std::span<char> thread_memory();  // none at the end of the thread
  void take_lent(std::size_t bytes);
  void release() noexcept;

  std::unique_ptr<char[]> memory_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool was_filled_ = false;  // the last read filled all: more may be there
  bool is_lent_ = false;     // free_end() gave the thread's memory
};

}  // namespace aiofiber::detail
