// SPDX-License-Identifier: Apache-2.0
//
// The memory that the buffers of a thread lend out, and growing.
#include "aiofiber/byte_buffer.h"

#include <array>
#include <utility>

namespace aiofiber::detail {

namespace {

// Pieces of kMostAtOnce bytes, together 2 MiB a thread at most, until it ends. Several connections may hold
// one at a time; given back to malloc, each would cost page faults again.
constexpr std::size_t kMostSpares = 8;
struct Spares {
  ~Spares();
  std::array<std::unique_ptr<char[]>, kMostSpares> pieces;
  std::size_t count = 0;
};
thread_local Spares spares;

// A static object may own a reader, and is destroyed after its thread's spares. This variable has no
// destructor, so it can be asked then.
constinit thread_local bool spares_are_gone = false;
Spares::~Spares() { spares_are_gone = true; }

}  // namespace

std::span<char> ByteBuffer::thread_memory() {
  if (spares_are_gone) return {};
  if (spares.count == 0) {
    spares.pieces[0] = std::make_unique_for_overwrite<char[]>(kMostAtOnce);
    spares.count = 1;
  }
  return {spares.pieces[spares.count - 1].get(), kMostAtOnce};
}

void ByteBuffer::take_lent(std::size_t bytes) {
  is_lent_ = false;
  if (bytes <= kCopied || !empty()) return append({thread_memory().data(), bytes});
  memory_ = std::move(spares.pieces[--spares.count]);
  capacity_ = kMostAtOnce;
  begin_ = 0;
  end_ = bytes;
  was_filled_ = end_ == capacity_;
}

void ByteBuffer::release() noexcept {
  if (capacity_ == kMostAtOnce && !spares_are_gone && spares.count < kMostSpares) {
    spares.pieces[spares.count++] = std::move(memory_);
  } else {
    memory_.reset();
  }
  capacity_ = 0;
}

void ByteBuffer::make_room(std::size_t bytes) {
  const std::size_t used = size();
  // Moving the bytes to the front is cheap as long as it makes at least as much room as it moves.
  if (capacity_ - used >= bytes && begin_ >= used) {
    std::memmove(memory_.get(), memory_.get() + begin_, used);
  } else {
    const std::size_t larger = used + std::max({bytes, used, used > 0 ? kLeast : kKept});
    auto memory = std::make_unique_for_overwrite<char[]>(larger);
    if (used > 0) std::memcpy(memory.get(), memory_.get() + begin_, used);
    memory_.swap(memory);
    capacity_ = larger;
  }
  begin_ = 0;
  end_ = used;
}

}  // namespace aiofiber::detail
