// SPDX-License-Identifier: Apache-2.0
//
// The slabs that hold every fiber of the process, reachable from the registry block (registry_abi.h).
//
// A fiber is in a slot of a chunk. Chunks never move and are never unmapped, so a reader from outside can
// walk all fibers at any instruction. A scheduler takes whole chunks and hands out their slots without a
// lock. The chunks of a destroyed scheduler go to the next one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "aiofiber/runtime/engine/config.h"
#include "aiofiber/runtime/inspect/registry_abi.h"

namespace aiofiber::runtime {

// A fiber in a release build fills its 256 bytes; AddressSanitizer needs 24 more, ThreadSanitizer 8.
inline constexpr std::size_t kRecordStride = AIOFIBER_ASAN || AIOFIBER_TSAN ? 320 : 256;
inline constexpr std::size_t kRecordAlignment = kCacheLineBytes;
static_assert(kRecordStride % kRecordAlignment == 0);
inline constexpr std::size_t kRecordsPerChunk = 512;

// The slots of one scheduler. Its thread only.
class RecordSlab {
 public:
  RecordSlab() = default;
  ~RecordSlab();
  RecordSlab(const RecordSlab&) = delete;
  RecordSlab& operator=(const RecordSlab&) = delete;

  // Memory for one record, state FREE. Throws std::bad_alloc.
  void* allocate();
  // The record's state must be FREE again; ids are never reused.
  void release(void* slot) noexcept;

  // Calls visit(record) for every record of every chunk of the process, in use or not. Any thread; the
  // records may change meanwhile.
  template <class Visit>
  static void for_each(Visit visit) {
    const std::uint32_t chunks = __atomic_load_n(&aiofiber_debug_registry.chunk_count, __ATOMIC_ACQUIRE);
    for (std::uint32_t i = 0; i < chunks; ++i) {
      auto* base = reinterpret_cast<char*>(aiofiber_debug_registry.chunks[i]);
      for (std::size_t k = 0; k < kRecordsPerChunk; ++k) {
        visit(*reinterpret_cast<aiofiber_record*>(base + k * kRecordStride));
      }
    }
  }

 private:
  struct FreeSlot;
  FreeSlot* free_ = nullptr;
  // The part of the newest chunk that no record has used: a small program touches one page of it.
  char* fresh_ = nullptr;
  char* fresh_end_ = nullptr;
  std::vector<char*> chunks_;
};

// Adds a loop that begins to run, with the addresses of its clock reading and state. Returns null if there is
// no room; then readers do not see the loop. No other error; allocates nothing. Any thread.
aiofiber_loop* enter_loop(std::uint32_t tid, bool is_virtual, const Nanoseconds& last_poll,
                          const bool& polling) noexcept;
void leave_loop(aiofiber_loop* loop) noexcept;

// Returns a number that is unique in the process, from 1.
std::uint64_t next_fiber_id() noexcept;

}  // namespace aiofiber::runtime
