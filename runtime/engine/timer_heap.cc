// SPDX-License-Identifier: Apache-2.0
//
// A 4-ary heap: an early removal (a cancelled timeout) touches half as many levels as in a binary heap.
#include "aiofiber/runtime/engine/timer_heap.h"

#include <algorithm>

#include "aiofiber/runtime/engine/assert.h"
#include "aiofiber/runtime/engine/choice.h"

namespace aiofiber::runtime {

namespace {
constexpr std::size_t kArity = 4;
}

void TimerHeap::sift_up(std::size_t index, Entry entry) noexcept {
  while (index > 0) {
    const std::size_t parent = (index - 1) / kArity;
    if (!entry.before(entries_[parent])) break;
    place(index, entries_[parent]);
    index = parent;
  }
  place(index, entry);
}

void TimerHeap::sift_down(std::size_t index, Entry entry) noexcept {
  const std::size_t size = entries_.size();
  for (;;) {
    const std::size_t first = index * kArity + 1;
    if (first >= size) break;
    std::size_t least = first;
    const std::size_t last = first + kArity < size ? first + kArity : size;
    for (std::size_t child = first + 1; child < last; ++child) {
      if (entries_[child].before(entries_[least])) least = child;
    }
    if (!entries_[least].before(entry)) break;
    place(index, entries_[least]);
    index = least;
  }
  place(index, entry);
}

void TimerHeap::start(Timer& timer, Nanoseconds deadline) {
  AIOFIBER_ASSERT(!timer.armed());
  const Entry entry{deadline, next_sequence_, &timer};
  entries_.push_back(entry);
  ++next_sequence_;
  timer.deadline = deadline;
  sift_up(entries_.size() - 1, entry);
}

void TimerHeap::remove(std::size_t index) noexcept {
  entries_[index].timer->heap_index = Timer::kIdle;
  const Entry last = entries_.back();
  entries_.pop_back();
  if (index == entries_.size()) return;
  if (index > 0 && last.before(entries_[(index - 1) / kArity])) {
    sift_up(index, last);
  } else {
    sift_down(index, last);
  }
}

void TimerHeap::cancel(Timer& timer) noexcept {
  if (timer.armed()) remove(timer.heap_index);
}

Timer* TimerHeap::pop_due(Nanoseconds now) noexcept {
  if (entries_.empty() || entries_.front().deadline > now) return nullptr;
  const std::size_t index = AIOFIBER_UNLIKELY(current_chooser != nullptr) ? choose_first() : 0;
  Timer* timer = entries_[index].timer;
  remove(index);
  return timer;
}

// asyncio leaves the order of equal deadlines open, so a test varies it. The heap's array is in the same
// order whenever the program does the same, so the choice repeats.
std::size_t TimerHeap::choose_first() const noexcept {
  const Nanoseconds deadline = entries_.front().deadline;
  const auto equal = [deadline](const Entry& entry) { return entry.deadline == deadline; };
  auto left = choose(static_cast<std::uint64_t>(std::count_if(entries_.begin(), entries_.end(), equal)));
  std::size_t index = 0;
  while (left > 0) {
    if (equal(entries_[++index])) --left;
  }
  return index;
}

}  // namespace aiofiber::runtime
