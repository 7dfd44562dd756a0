// SPDX-License-Identifier: Apache-2.0
//
// operator new and delete for a test program that makes one allocation fail and counts the blocks that are
// left. Included by the one source of such a program, because the definitions are those of the whole program.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace aiofiber {
namespace {

// Of this thread only: what other threads allocate does not fail.
thread_local long allocations_left = 0;  // the one that makes it 0 fails; at most 0: none does
thread_local bool failed = false;
std::atomic<long> live_blocks{0};

[[gnu::noinline]] void* allocate(std::size_t bytes) {
  if (allocations_left > 0 && --allocations_left == 0) {
    failed = true;
    throw std::bad_alloc();
  }
  void* const block = std::malloc(bytes);
  if (block == nullptr) throw std::bad_alloc();
  ++live_blocks;
  return block;
}

[[gnu::noinline]] void release(void* block) noexcept {
  if (block == nullptr) return;
  --live_blocks;
  std::free(block);
}

}  // namespace
}  // namespace aiofiber

void* operator new(std::size_t bytes) { return aiofiber::allocate(bytes); }
void* operator new[](std::size_t bytes) { return aiofiber::allocate(bytes); }
void operator delete(void* block) noexcept { aiofiber::release(block); }
void operator delete[](void* block) noexcept { aiofiber::release(block); }
void operator delete(void* block, std::size_t) noexcept { aiofiber::release(block); }
void operator delete[](void* block, std::size_t) noexcept { aiofiber::release(block); }
