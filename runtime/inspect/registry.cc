// SPDX-License-Identifier: Apache-2.0
//
// The registry block itself, the ELF note that leads to it, gdb's commands that read it, and the chunks.
//
// Chunks come from anonymous memory and live as long as the process. The chunks of a destroyed scheduler wait
// in a process-wide list, whose mutex is locked only when chunks are handed over.
#include "aiofiber/runtime/inspect/registry.h"

#include <atomic>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include "aiofiber/runtime/arch/arch.h"
#include "aiofiber/runtime/engine/assert.h"
#include "aiofiber/runtime/engine/syscall.h"

extern "C" {
__attribute__((visibility("default"), used)) aiofiber_registry aiofiber_debug_registry;
// The same block under a name that no other module can take.
extern aiofiber_registry aiofiber_registry_here
    __attribute__((alias("aiofiber_debug_registry"), visibility("hidden"), used));
}

namespace {

// Before all other code. The head is not the block's initial value, because the 130 KiB behind it would then
// be part of each program's file. Of this module's own block: one of the same name may be another module's.
[[gnu::constructor(101)]] void write_head() noexcept {
  aiofiber_registry& registry = aiofiber_registry_here;
  std::memcpy(registry.magic, AIOFIBER_REGISTRY_MAGIC, sizeof registry.magic);
  registry.version = AIOFIBER_REGISTRY_VERSION;
  registry.size = sizeof(aiofiber_registry);
  registry.record_size = sizeof(aiofiber_record);
  registry.record_stride = aiofiber::runtime::kRecordStride;
  registry.chunk_records = aiofiber::runtime::kRecordsPerChunk;
  registry.arch = aiofiber::runtime::arch::kElfMachine;
  // ctx_layout: by the first scheduler, for the Boost that it runs with.
}

}  // namespace

#if defined(__LP64__)
// A loaded note, so that readers find it in stripped programs. The address is relative, so it needs no
// relocation, also in a shared library.
asm(R"(
.pushsection .note.aiofiber,"aR",@note
.balign 4
.long 2f-1f, 4f-3f, 1
1: .asciz "aiofiber"
2: .balign 4
3: .quad aiofiber_registry_here - 3b
4: .balign 4
.popsection
)");
#endif

// The text of gdb/aiofiber_gdb.py, where gdb looks for it: an entry of type 4 is its name, a newline, the
// script and a zero. Like debug information, it is not loaded. It is here because every program that links a
// task links this file.
asm(R"(
.pushsection .debug_gdb_scripts,"MS",@progbits,1
.byte 4
.ascii "aiofiber_gdb.py\n"
.incbin ")" AIOFIBER_GDB_SCRIPT R"("
.byte 0
.popsection
)");

namespace aiofiber::runtime {

struct RecordSlab::FreeSlot {
  aiofiber_record record;  // state FREE
  FreeSlot* next;
};
static_assert(sizeof(aiofiber_record) + sizeof(void*) <= kRecordStride);

namespace {

struct ChunkStore {
  std::mutex mutex;
  std::vector<char*> spare;  // chunks of dead schedulers
};

ChunkStore& chunk_store() noexcept {
  static ChunkStore* store = new ChunkStore;  // never destroyed: schedulers may die after main()
  return *store;
}

}  // namespace

aiofiber_loop* enter_loop(std::uint32_t tid, bool is_virtual, const Nanoseconds& last_poll,
                          const bool& polling) noexcept {
  for (aiofiber_loop& loop : aiofiber_debug_registry.loops) {
    std::uint32_t nobody = 0;
    if (!__atomic_compare_exchange_n(&loop.tid, &nobody, tid, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
      continue;
    __atomic_store_n(&loop.is_virtual, is_virtual ? 1u : 0u, __ATOMIC_RELAXED);
    __atomic_store_n(&loop.last_poll_at, reinterpret_cast<std::uint64_t>(&last_poll), __ATOMIC_RELAXED);
    __atomic_store_n(&loop.polling_at, reinterpret_cast<std::uint64_t>(&polling), __ATOMIC_RELEASE);
    return &loop;
  }
  return nullptr;
}

void leave_loop(aiofiber_loop* loop) noexcept {
  if (loop == nullptr) return;
  __atomic_store_n(&loop->polling_at, std::uint64_t{0}, __ATOMIC_RELAXED);
  __atomic_store_n(&loop->last_poll_at, std::uint64_t{0}, __ATOMIC_RELAXED);
  __atomic_store_n(&loop->tid, 0u, __ATOMIC_RELEASE);
}

std::uint64_t next_fiber_id() noexcept {
  // A thread takes a block of numbers at a time: one locked instruction serves many fibers.
  constexpr std::uint64_t kBlock = 64;
  static std::atomic<std::uint64_t> blocks_end{0};
  static constinit thread_local std::uint64_t last = 0;
  if (last % kBlock == 0) last = blocks_end.fetch_add(kBlock, std::memory_order_relaxed);
  return ++last;
}

RecordSlab::~RecordSlab() {
  if (chunks_.empty()) return;
  ChunkStore& store = chunk_store();
  const std::lock_guard lock(store.mutex);
  for (char* chunk : chunks_) store.spare.push_back(chunk);
}

void* RecordSlab::allocate() {
  if (free_ == nullptr && fresh_ == fresh_end_) {
    ChunkStore& store = chunk_store();
    char* chunk = nullptr;
    chunks_.reserve(chunks_.size() + 1);
    {
      const std::lock_guard lock(store.mutex);
      if (!store.spare.empty()) {
        chunk = store.spare.back();
        store.spare.pop_back();
      } else {
        const std::uint32_t count = aiofiber_debug_registry.chunk_count;
        if (count == AIOFIBER_REGISTRY_CHUNKS) throw std::bad_alloc();
        // Room in the spare list for every chunk, so that giving chunks back never allocates.
        store.spare.reserve(count + 1);
        void* memory = sys::map_anonymous(kRecordStride * kRecordsPerChunk);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        chunk = static_cast<char*>(memory);
        aiofiber_debug_registry.chunks[count] = reinterpret_cast<std::uint64_t>(chunk);
        __atomic_store_n(&aiofiber_debug_registry.chunk_count, count + 1, __ATOMIC_RELEASE);
      }
    }
    chunks_.push_back(chunk);
    fresh_ = chunk;
    fresh_end_ = chunk + kRecordStride * kRecordsPerChunk;
  }
  if (free_ == nullptr) {
    auto* const slot = reinterpret_cast<FreeSlot*>(std::exchange(fresh_, fresh_ + kRecordStride));
    slot->next = nullptr;  // written before it is read: one page fault instead of two
    return slot;
  }
  FreeSlot* slot = free_;
  free_ = slot->next;
  return slot;
}

void RecordSlab::release(void* memory) noexcept {
  auto* slot = static_cast<FreeSlot*>(memory);
  AIOFIBER_ASSERT(slot->record.state == AIOFIBER_FREE);
  slot->next = free_;
  free_ = slot;
}

}  // namespace aiofiber::runtime
