// SPDX-License-Identifier: Apache-2.0
//
// A search in breadth from the variables, block by block.
#include "shared_state/heap_place.h"

#include <algorithm>
#include <span>
#include <unordered_map>

#include "aiofiber/runtime/engine/syscall.h"

namespace aiofiber::runtime::shared_state {

namespace {

class Walk {
 public:
  Walk(std::span<const Variable> roots, Block wanted) : roots_(roots), wanted_(wanted.begin) {}

  HeapPlace run() {
    for (const Variable& variable : roots_) {
      visit_words(variable.address, variable.size, [&](std::size_t offset, std::uintptr_t target) {
        add(target, {&variable, 0, offset});
      });
    }
    for (std::size_t next = 0; next < blocks_.size() && !came_from_.contains(wanted_); ++next) {
      const std::uintptr_t block = blocks_[next];
      visit_words(block, block_at(block).bytes, [&](std::size_t offset, std::uintptr_t target) {
        add(target, {nullptr, block, offset});
      });
    }
    HeapPlace found;
    for (auto step = came_from_.find(wanted_); step != came_from_.end();
         step = came_from_.find(step->second.block)) {
      found.offsets.push_back(step->second.offset);
      found.root = step->second.variable;
    }
    std::reverse(found.offsets.begin(), found.offsets.end());
    return found;
  }

 private:
  struct Step {
    const Variable* variable;  // or a block
    std::uintptr_t block;
    std::size_t offset;
  };

  void add(std::uintptr_t target, const Step& from) {
    const Block block = block_at(target);
    if (block.bytes != 0 && came_from_.emplace(block.begin, from).second) blocks_.push_back(block.begin);
  }

  template <class Visit>
  static void visit_words(std::uintptr_t begin, std::size_t bytes, Visit visit) {
    constexpr std::size_t kWord = sizeof(std::uintptr_t), kAtOnce = 512;
    std::uintptr_t words[kAtOnce];
    const std::uintptr_t aligned = (begin + kWord - 1) / kWord * kWord, end = (begin + bytes) / kWord * kWord;
    for (std::uintptr_t at = aligned; at < end;) {
      const std::size_t some = std::min<std::size_t>(end - at, sizeof words);
      if (sys::copy_own_memory(words, reinterpret_cast<const void*>(at), some) != static_cast<ssize_t>(some))
        return;
      for (std::size_t i = 0; i < some / kWord; ++i) visit(at - begin + i * kWord, words[i]);
      at += some;
    }
  }

  const std::span<const Variable> roots_;  // without those that are ignored
  const std::uintptr_t wanted_;
  std::vector<std::uintptr_t> blocks_;  // that were reached, in this order
  std::unordered_map<std::uintptr_t, Step> came_from_;
};

}  // namespace

HeapPlace heap_place(const WatchedMemory& memory, std::uintptr_t address) {
  const Block block = block_at(address);
  if (block.bytes == 0) return {};
  HeapPlace found = Walk(memory.variables(), block).run();
  found.block = block;
  return found;
}

}  // namespace aiofiber::runtime::shared_state
