// SPDX-License-Identifier: Apache-2.0
//
// How the program's static variables lead to a block of the heap.
//
// Tasks share a block without knowing it if a global variable leads there. What they were handed otherwise (a
// pointer in a closure, an object on the stack of the one that made them) they share on purpose, so nothing
// is told of it.
//
// Every word that holds the address of a live block, or of its inside, counts as a pointer, and the shortest
// way is given. The blocks are copied by the kernel: another thread may free them meanwhile. It allocates,
// and takes milliseconds for a heap of megabytes, so it is for reports.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "shared_state/known_pages.h"
#include "shared_state/watched_memory.h"

namespace aiofiber::runtime::shared_state {

struct HeapPlace {
  const Variable* root = nullptr;  // null: no variable leads there
  // Of the pointers on the way: in the variable, in the block that it points to, and so on.
  std::vector<std::size_t> offsets;
  Block block;  // that contains the address
};

// Throws std::bad_alloc.
HeapPlace heap_place(const WatchedMemory& memory, std::uintptr_t address);

}  // namespace aiofiber::runtime::shared_state
