// SPDX-License-Identifier: Apache-2.0
//
// Ring: the items of a queue, first in, first out, in one array that is used again.
//
// std::deque allocates and frees a block every few items for as long as items pass through. A ring allocates
// only while it grows. It gives a large array back when it becomes empty. Items need only be movable.
// Not for users. Threads: any one at a time.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <memory>
#include <utility>

namespace aiofiber::detail {

template <class T>
class Ring {
 public:
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() {
    clear();
    free_array();
  }

  std::size_t size() const noexcept { return size_; }
  // The oldest item is item 0.
  const T& operator[](std::size_t index) const noexcept { return *place(index); }

  // Throws std::bad_alloc, or what a move of T throws; the ring is then unchanged.
  void push_back(T item) {
    if (size_ == capacity_) grow();
    std::construct_at(place(size_), std::move(item));
    ++size_;
  }
  // If the move of T throws, the item stays. Precondition: not empty.
  T pop_front() {
    T* const front = place(0);
    T item = std::move(*front);
    std::destroy_at(front);
    first_ = (first_ + 1) & (capacity_ - 1);
    if (--size_ == 0 && capacity_ * sizeof(T) > kMostBytesKept) free_array();
    return item;
  }
  void clear() noexcept {
    for (; size_ > 0; --size_) {
      std::destroy_at(place(0));
      first_ = (first_ + 1) & (capacity_ - 1);
    }
  }
  void swap(Ring& other) noexcept {
    std::swap(items_, other.items_);
    std::swap(capacity_, other.capacity_);
    std::swap(first_, other.first_);
    std::swap(size_, other.size_);
  }

 private:
  static constexpr std::size_t kMostBytesKept = 64 * 1024;  // while empty

  T* place(std::size_t index) const noexcept { return items_ + ((first_ + index) & (capacity_ - 1)); }
  void free_array() noexcept {
    if (items_ != nullptr) std::allocator<T>().deallocate(items_, capacity_);
    items_ = nullptr;
    first_ = capacity_ = 0;
  }
  void grow() {
    constexpr std::size_t kFirst = std::max<std::size_t>(1, 64 / sizeof(T));
    Ring larger;
    const std::size_t capacity = capacity_ == 0 ? std::bit_ceil(kFirst) : 2 * capacity_;
    larger.items_ = std::allocator<T>().allocate(capacity);
    larger.capacity_ = capacity;
    for (; larger.size_ < size_; ++larger.size_)
      std::construct_at(larger.items_ + larger.size_, std::move_if_noexcept(*place(larger.size_)));
    swap(larger);
  }

  T* items_ = nullptr;
  std::size_t capacity_ = 0;  // a power of two, or 0
  std::size_t first_ = 0;     // the place of item 0
  std::size_t size_ = 0;
};

}  // namespace aiofiber::detail
