// SPDX-License-Identifier: Apache-2.0
//
// CallbackTable: finds a registered done-callback by its id, without a walk along the future's list.
//
// Without the table, removing n callbacks of one future one by one would take n * n / 2 steps. It is a hash
// table of nodes that are embedded in the callbacks. Registering may allocate, when the table grows.
// Completing and removing never allocate. Each loop has one table, for the callbacks of its pending futures.
// Not for users. Threads: the loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace aiofiber::detail {

class FutureBase;

// The table's node of a callback; embedded in the callback.
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

  // Throws std::bad_alloc; the entry is then not added.
  void add(CallbackEntry& entry) {
    if (size_ == capacity()) grow();
    CallbackEntry*& bucket = bucket_of(entry.id);
    entry.next_in_bucket = bucket;
    bucket = &entry;
    ++size_;
  }
  // Null: no callback is registered under this id.
  CallbackEntry* find(std::uint64_t id) const noexcept {
    if (size_ == 0) return nullptr;
    CallbackEntry* entry = bucket_of(id);
    while (entry != nullptr && entry->id != id) entry = entry->next_in_bucket;
    return entry;
  }
  // Precondition: the entry is in the table.
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
  // Fibonacci hashing: all loops share one counter of ids, so the ids of one loop may differ by any step.
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

  std::unique_ptr<CallbackEntry*[]> buckets_;  // null until the first entry
  unsigned bits_ = 0;                          // 2 to this power is the number of buckets
  std::size_t size_ = 0;
};

}  // namespace aiofiber::detail
