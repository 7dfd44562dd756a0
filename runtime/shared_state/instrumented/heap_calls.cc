// SPDX-License-Identifier: Apache-2.0
//
// malloc() and its kin, which tell the search of each block: only so does it know what on the heap is a
// block, and that a block is a new one.
//
// Blocks come zeroed, because what lay there before would look like pointers to other blocks.
//
// The heap never gets smaller, because the search looks at its pages. So there is one arena, and no block is
// a mapping of its own.
//
// Behind them is glibc's allocator, under the names that glibc exports for this. A program with an allocator
// of its own keeps it if it is linked before this archive; then its heap is not searched.
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>

#include "aiofiber/runtime/shared_state/accesses.h"
#include "shared_state/instrumented/alone.h"

extern "C" {
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* block, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void* block);
int __libc_mallopt(int parameter, int value);
void* __real_memset(void* to, int value, size_t bytes);  // libc's: see libc_calls.cc
}

namespace {

namespace shared_state = aiofiber::runtime::shared_state;

// In larger ones it would take too long. What the heap has not used before is zero anyway.
constexpr size_t kMayHoldOldBytes = size_t{1} << 17;

constinit std::atomic<bool> is_set_up{false};

// Before the first block.
void set_up() noexcept {
  if (is_set_up.load(std::memory_order_relaxed)) return;
  is_set_up.store(true, std::memory_order_relaxed);
  // The loader allocates before any library starts, and so before one of a sanitizer can fail.
  shared_state::insist_on_being_alone();
  __libc_mallopt(M_MMAP_MAX, 0);
  __libc_mallopt(M_ARENA_MAX, 1);
  __libc_mallopt(M_TRIM_THRESHOLD, -1);  // the largest number
}

// `kept`: so many bytes at the beginning are the program's already.
void* made(void* block, size_t kept) noexcept {
  if (block == nullptr) return nullptr;
  const size_t bytes = ::malloc_usable_size(block);
  if (kept < bytes && bytes <= kMayHoldOldBytes)
    __real_memset(static_cast<char*>(block) + kept, 0, bytes - kept);
  shared_state::block_made(block, bytes);
  return block;
}

bool is_power_of_two(size_t number) noexcept { return number != 0 && (number & (number - 1)) == 0; }

}  // namespace

extern "C" {

void* malloc(size_t bytes) noexcept {
  set_up();
  return made(__libc_malloc(bytes), 0);
}
void* calloc(size_t count, size_t bytes) noexcept {
  set_up();
  return made(__libc_calloc(count, bytes), SIZE_MAX);
}

void free(void* block) noexcept {
  if (block == nullptr) return;
  shared_state::block_freed(block);
  __libc_free(block);
}

void* realloc(void* block, size_t bytes) noexcept {
  if (block == nullptr) return malloc(bytes);
  if (bytes == 0) {  // as glibc's does
    free(block);
    return nullptr;
  }
  // A block that grows where it is keeps what is known of it.
  const size_t before = ::malloc_usable_size(block);
  const auto old = reinterpret_cast<uintptr_t>(block);
  shared_state::block_freed(block);
  void* const moved = __libc_realloc(block, bytes);
  if (moved == nullptr) {
    shared_state::block_kept(block, before, before);
  } else if (reinterpret_cast<uintptr_t>(moved) == old) {
    const size_t after = ::malloc_usable_size(moved);
    if (before < after && after <= kMayHoldOldBytes)
      __real_memset(static_cast<char*>(moved) + before, 0, after - before);
    shared_state::block_kept(moved, before, after);
  } else {
    made(moved, before);
  }
  return moved;
}

void* memalign(size_t alignment, size_t bytes) noexcept {
  set_up();
  return made(__libc_memalign(alignment, bytes), 0);
}
void* aligned_alloc(size_t alignment, size_t bytes) noexcept {
  if (!is_power_of_two(alignment)) {
    errno = EINVAL;
    return nullptr;
  }
  return memalign(alignment, bytes);
}
int posix_memalign(void** block, size_t alignment, size_t bytes) noexcept {
  if (!is_power_of_two(alignment) || alignment % sizeof(void*) != 0) return EINVAL;
  const int before = errno;
  void* const found = memalign(alignment, bytes);
  errno = before;
  if (found == nullptr) return ENOMEM;
  *block = found;
  return 0;
}
void* valloc(size_t bytes) noexcept { return memalign(static_cast<size_t>(::getpagesize()), bytes); }
void* pvalloc(size_t bytes) noexcept {
  const auto page = static_cast<size_t>(::getpagesize());
  if (bytes > SIZE_MAX - page) {
    errno = ENOMEM;
    return nullptr;
  }
  return memalign(page, (bytes + page - 1) / page * page);
}

// What would give memory back.
int malloc_trim(size_t) noexcept { return 0; }
int mallopt(int, int) noexcept { return 1; }

}  // extern "C"
