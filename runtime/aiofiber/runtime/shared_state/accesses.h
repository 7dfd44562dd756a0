// SPDX-License-Identifier: Apache-2.0
//
// What instrumented code tells the search for shared state: each access to memory, and each block of the
// heap.
//
// The compiler's -fsanitize=thread puts a call before each access. In a program that links
// aiofiber::instrumented these calls end here instead of in ThreadSanitizer. While nothing is searched, a
// call costs one test.
//
// Threads: any; what other threads do is not noted. Nothing here throws, allocates from the heap or takes a
// lock.
#pragma once

#include <cstddef>
#include <cstdint>

namespace aiofiber::runtime::shared_state {

// The program tells of its accesses. To be called before the search starts.
void announce_instrumentation() noexcept;
bool is_instrumented() noexcept;

class Accesses;
namespace detail {
// Of this thread; null: its accesses are not noted, or it is in the middle of noting one.
extern constinit thread_local Accesses* noted_by __attribute__((tls_model("initial-exec")));
// How many instrumented functions have been entered. Between equal numbers the stack is the same.
extern constinit thread_local std::uint64_t functions_entered __attribute__((tls_model("initial-exec")));
}  // namespace detail

enum class AccessKind : std::uint8_t { kRead, kWrite, kUpdate };

// Before the access. `pc` is the return address in the program's code, `sp` its stack pointer there.
void note_access(AccessKind kind, std::uintptr_t address, std::size_t bytes, std::uintptr_t pc,
                 std::uintptr_t sp) noexcept;
inline bool accesses_are_noted() noexcept { return detail::noted_by != nullptr; }

// malloc() gives out these bytes, a whole block; it is going to take the block back. The allocator must not
// unmap what it has once given out, because the search looks at it.
void block_made(const void* begin, std::size_t bytes) noexcept;
void block_freed(const void* begin) noexcept;
// After block_freed(), of which nothing came: the block stays where it is, perhaps with another size.
void block_kept(const void* begin, std::size_t bytes_before, std::size_t bytes) noexcept;

}  // namespace aiofiber::runtime::shared_state
