// SPDX-License-Identifier: Apache-2.0
//
// Memory put by for a library that ends the process when it gets none: libev calls abort().
//
// Exceptions must not pass through such a library. So whoever is about to call it fills a reserve first,
// where bad_alloc can still be thrown, and declares it by a Use; when realloc(3) then fails, the library gets
// a block of the reserve. The blocks are ordinary ones, to be freed and enlarged like any other. Threads: a
// reserve belongs to one; reallocate() is for any.
#pragma once

#include <cstddef>
#include <vector>

namespace aiofiber::runtime {

class MemoryReserve {
 public:
  MemoryReserve() = default;
  ~MemoryReserve();
  MemoryReserve(const MemoryReserve&) = delete;
  MemoryReserve& operator=(const MemoryReserve&) = delete;

  // From now on there are `count` blocks of at least `bytes`, those included that were used up. Costs nothing
  // when there are. Throws std::bad_alloc, and has what it had before or more.
  void provide(std::size_t count, std::size_t bytes);

  // While it lives, reallocate() on this thread may take from the reserve. They nest.
  class Use {
   public:
    explicit Use(MemoryReserve& reserve) noexcept : outer_(current_) { current_ = &reserve; }
    ~Use() { current_ = outer_; }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    MemoryReserve* outer_;
  };

  // As realloc(3), but 0 bytes always free the block and give null. Otherwise null only when there is no
  // memory and the reserve in use has no block large enough left.
  static void* reallocate(void* block, long bytes) noexcept;

 private:
  void* take(std::size_t bytes) noexcept;

  static constinit thread_local MemoryReserve* current_;

  std::vector<void*> blocks_;  // null: used up
  std::size_t block_bytes_ = 0;
  bool complete_ = true;
};

}  // namespace aiofiber::runtime
