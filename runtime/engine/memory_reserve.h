// SPDX-License-Identifier: Apache-2.0
//
// Reserved memory for a library that ends the process when it gets none: libev calls abort().
//
// Exceptions must not pass through such a library. So its caller first fills a reserve, where bad_alloc can
// still be thrown, and declares it by a Use. If realloc(3) fails then, the library gets a block of the
// reserve. The blocks are ordinary: they can be freed and enlarged. Threads: a reserve belongs to one;
// reallocate() is for any.
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

  // Makes sure that there are `count` blocks of at least `bytes`; replaces used ones. Costs nothing if there
  // are. Throws std::bad_alloc, and then has at least as much as before.
  void provide(std::size_t count, std::size_t bytes);

  // While it lives, reallocate() on this thread may take from the reserve. Scopes nest.
  class Use {
   public:
    explicit Use(MemoryReserve& reserve) noexcept : outer_(current_) { current_ = &reserve; }
    ~Use() { current_ = outer_; }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    MemoryReserve* outer_;
  };

  // As realloc(3), but 0 bytes always free the block and return null. Otherwise it returns null only if there
  // is no memory and the reserve in use has no block that is large enough.
  static void* reallocate(void* block, long bytes) noexcept;

 private:
  void* take(std::size_t bytes) noexcept;

  static constinit thread_local MemoryReserve* current_;

  std::vector<void*> blocks_;  // null: used up
  std::size_t block_bytes_ = 0;
  bool complete_ = true;
};

}  // namespace aiofiber::runtime
