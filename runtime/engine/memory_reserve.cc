// SPDX-License-Identifier: Apache-2.0
//
// Fills the reserve, and gives its blocks to allocations while memory is short.
#include "engine/memory_reserve.h"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "aiofiber/runtime/engine/syscall.h"

namespace aiofiber::runtime {

constinit thread_local MemoryReserve* MemoryReserve::current_ = nullptr;

MemoryReserve::~MemoryReserve() {
  for (void* block : blocks_) std::free(block);
}

void MemoryReserve::provide(std::size_t count, std::size_t bytes) {
  if (complete_ && count <= blocks_.size() && bytes <= block_bytes_) return;
  complete_ = false;
  if (blocks_.size() < count) blocks_.resize(count);
  const std::size_t wanted = std::max(bytes, block_bytes_);
  for (void*& block : blocks_) {
    if (block != nullptr && wanted <= block_bytes_) continue;
    void* const fresh = sys::reallocate(nullptr, wanted);
    if (fresh == nullptr) throw std::bad_alloc();
    std::free(block);
    block = fresh;
  }
  block_bytes_ = wanted;
  complete_ = true;
}

void* MemoryReserve::take(std::size_t bytes) noexcept {
  // Blocks of different sizes are possible: the last provide() may have failed half-way.
  const auto fits = [bytes](void* block) { return block != nullptr && ::malloc_usable_size(block) >= bytes; };
  const auto found = std::find_if(blocks_.begin(), blocks_.end(), fits);
  if (found == blocks_.end()) return nullptr;
  complete_ = false;
  return std::exchange(*found, nullptr);
}

void* MemoryReserve::reallocate(void* block, long bytes) noexcept {
  const auto wanted = static_cast<std::size_t>(bytes);
  if (wanted == 0) {
    std::free(block);
    return nullptr;
  }
  const std::size_t has = block != nullptr ? ::malloc_usable_size(block) : 0;
  // A block of the reserve is larger than requested. It is not made smaller, because growing it again could
  // fail.
  if (has >= wanted) return block;
  if (void* const result = sys::reallocate(block, wanted)) return result;
  void* const result = current_ != nullptr ? current_->take(wanted) : nullptr;
  if (result == nullptr || block == nullptr) return result;
  std::memcpy(result, block, has);
  std::free(block);
  return result;
}

}  // namespace aiofiber::runtime
