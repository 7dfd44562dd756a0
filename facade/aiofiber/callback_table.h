// SPDX-License-Identifier: Apache-2.0
//
// CallbackTable: finds a registered done-callback by its id, without walking the future's list.
//
// Removing n callbacks of one future one by one would take n * n / 2 steps otherwise. A hash table of nodes
// that the callbacks embed: only registering may allocate, when the table grows; completing and removing
// never do. One a loop, for the callbacks of its pending futures. Not for users. Threads: the loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace aiofiber::detail {

class FutureBase;

// What the table knows of a callback; embedded in it.
struct CallbackEntry {
  std::uint64_t id = 0;
  FutureBase* owner = nullptr;
  CallbackEntry* next_in_bucket = nullptr;
};

class CallbackTable {
 public:
  CallbackTable() = default;
  CallbackTable(const CallbackTable&) = delete;
  CallbackTable& operator=(const CallbackTable&) = delete;

  // Throws std::bad_alloc, and then has not taken it.
  void add(CallbackEntry& entry) {
    if (size_ == capacity()) grow();
    CallbackEntry*& bucket = bucket_of(entry.id);
    entry.next_in_bucket = bucket;
    bucket = &entry;
    ++size_;
  }
  // Null: none is registered under this id.
  CallbackEntry* find(std::uint64_t id) const noexcept {
    if (size_ == 0) return nullptr;
    CallbackEntry* entry = bucket_of(id);
    while (entry != nullptr && entry->id != id) entry = entry->next_in_bucket;
    return entry;
  }
  // Precondition: it is in the table.
  void remove(CallbackEntry& entry) noexcept {
    CallbackEntry** place = &bucket_of(entry.id);
    while (*place != &entry) place = &(*place)->next_in_bucket;
    *place = entry.next_in_bucket;
    --size_;
  }
  std::size_t size() const noexcept { return size_; }

 private:
  static constexpr unsigned kFirstBits = 4;
  std::size_t capacity() const noexcept { return buckets_ == nullptr ? 0 : std::size_t{1} << bits_; }
  CallbackEntry*& bucket_of(std::uint64_t id) const noexcept { return buckets_[index(id, bits_)]; }
  // Fibonacci hashing: ids are counted by all loops together, so those of one loop may lie apart by any step.
  static std::size_t index(std::uint64_t id, unsigned bits) noexcept {
    return (id * 0x9E3779B97F4A7C15u) >> (64 - bits);
  }
  void grow() {
    const unsigned bits = buckets_ == nullptr ? kFirstBits : bits_ + 1;
    auto buckets = std::make_unique<CallbackEntry*[]>(std::size_t{1} << bits);
    for (std::size_t i = 0, count = capacity(); i < count; ++i) {
      while (CallbackEntry* const entry = buckets_[i]) {
        buckets_[i] = entry->next_in_bucket;
        CallbackEntry*& bucket = buckets[index(entry->id, bits)];
        entry->next_in_bucket = bucket;
        bucket = entry;
      }
    }
    buckets_ = std::move(buckets);
    bits_ = bits;
  }

  std::unique_ptr<CallbackEntry*[]> buckets_;  // null until the first
  unsigned bits_ = 0;                          // their number is 2 to this
  std::size_t size_ = 0;
};

}  // namespace aiofiber::detail
