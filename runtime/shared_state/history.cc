// SPDX-License-Identifier: Apache-2.0
//
// Sets of bytes for each task and page; a step's changes move bytes of the other tasks to their stale sets.
#include "shared_state/history.h"

#include <algorithm>
#include <utility>

#include "aiofiber/runtime/inspect/held_locks.h"
#include "shared_state/raw_bytes.h"

namespace aiofiber::runtime::shared_state {

namespace {

// Calls visit(begin, end) for each run of bytes in [begin, end) for which is_in(at) is true.
template <class IsIn, class Visit>
void for_runs(std::size_t begin, std::size_t end, IsIn is_in, Visit visit) noexcept {
  while (begin < end) {
    if (!is_in(begin)) {
      ++begin;
      continue;
    }
    std::size_t after = begin + 1;
    while (after < end && is_in(after)) ++after;
    visit(begin, after);
    begin = after;
  }
}

bool overlap(std::size_t begin, std::size_t end, std::size_t other_begin, std::size_t other_end) noexcept {
  return begin < other_end && other_begin < end;
}

// The newest item that covers some of the bytes; null: it is no longer known.
template <class Items>
auto* newest_of(Items& items, std::size_t begin, std::size_t end) noexcept {
  for (std::size_t n = 0; n < items.size(); ++n) {
    if (overlap(items[n].begin, items[n].end, begin, end)) return &items[n];
  }
  return static_cast<decltype(&items[0])>(nullptr);
}

template <class Notes>
void note(Notes& notes, std::size_t begin, std::size_t end, bool exact, const Calls* calls,
          const HeldLocks& locks) noexcept {
  if (notes.size() > 0) {  // one more element of a loop
    Note& last = notes[0];
    if (last.calls == calls && last.exact == exact && begin <= last.end && last.begin <= end) {
      last.begin = static_cast<std::uint16_t>(std::min<std::size_t>(last.begin, begin));
      last.end = static_cast<std::uint16_t>(std::max<std::size_t>(last.end, end));
      last.locks = locks;
      return;
    }
  }
  notes.add() = {static_cast<std::uint16_t>(begin), static_cast<std::uint16_t>(end), exact, calls, locks};
}

}  // namespace

bool HeldLocks::share_one_with(const HeldLocks& other) const noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t k = 0; k < other.count; ++k) {
      if (locks[i] == other.locks[k]) return true;
    }
  }
  return false;
}

void HeldLocks::add(const HeldLocks& more) noexcept {
  for (std::size_t i = 0; i < more.count && count < kMost; ++i) {
    if (std::find(locks, locks + count, more.locks[i]) == locks + count) locks[count++] = more.locks[i];
  }
}

HeldLocks held_now() noexcept {
  HeldLocks held;
  if (const Fiber* const fiber = current_fiber())
    held.count = static_cast<std::uint8_t>(held_locks::list_held(*fiber, held.locks));
  return held;
}

Task* History::task(const aiofiber_record& record) noexcept {
  Task*& bucket = tasks_[record.id % kBuckets];
  for (Task* known = bucket; known != nullptr; known = known->next) {
    if (known->record.id == record.id) return known;
  }
  Task* const made =
      free_tasks_ != nullptr ? std::exchange(free_tasks_, free_tasks_->next) : arena_.make<Task>();
  if (made == nullptr) return nullptr;
  *made = Task();
  made->record = record;
  made->next = std::exchange(bucket, made);
  return made;
}

void History::forget(Task& task) noexcept {
  while (task.claims != nullptr) {
    Claim& claim = *std::exchange(task.claims, task.claims->next_of_task);
    Claim** link = &claim.page->claims;
    while (*link != &claim) link = &(*link)->next_of_page;
    *link = claim.next_of_page;
    claim.next_of_task = std::exchange(free_claims_, &claim);
  }
  Task** link = &tasks_[task.record.id % kBuckets];
  while (*link != &task) link = &(*link)->next;
  *link = task.next;
  task.next = std::exchange(free_tasks_, &task);
}

const Calls* History::calls(std::span<const std::uintptr_t> addresses) noexcept {
  addresses = addresses.first(std::min(addresses.size(), Calls::kMost));
  std::uint64_t hash = 1;
  for (const std::uintptr_t address : addresses) hash = (hash ^ address) * 0x9E3779B97F4A7C15;
  Calls*& bucket = calls_[hash >> 52];
  static_assert(kCallBuckets == std::size_t{1} << (64 - 52));
  for (Calls* known = bucket; known != nullptr; known = known->next) {
    if (known->hash == hash && known->count == addresses.size()) return known;
  }
  Calls* const made = arena_.make<Calls>();
  if (made == nullptr) return nullptr;
  made->hash = hash;
  made->count = addresses.size();
  std::copy(addresses.begin(), addresses.end(), made->addresses);
  made->next = std::exchange(bucket, made);
  return made;
}

// In both lists at once: a task may have used many pages, and a page many tasks.
Claim* History::known_claim(const Task& task, const Page& page) noexcept {
  if (page.running != nullptr && page.running->task == &task) return page.running;
  Claim* of_task = task.claims;
  Claim* of_page = page.claims;
  for (; of_task != nullptr && of_page != nullptr;
       of_task = of_task->next_of_task, of_page = of_page->next_of_page) {
    if (of_task->page == &page) return of_task;
    if (of_page->task == &task) return of_page;
  }
  return nullptr;
}

Claim* History::claim(Task& task, Page& page) noexcept {
  Claim* const found = known_or_new_claim(task, page);
  if (found != nullptr && lists_used_ && page.running == nullptr) {
    found->is_stale = found->is_stale && (found->stale_written.any() || found->stale_read.any());
    page.running = found;
    page.quick = found->is_stale ? nullptr : found;
    page.next_used = std::exchange(used_, &page);
  }
  return found;
}

Claim* History::known_or_new_claim(Task& task, Page& page) noexcept {
  if (Claim* const known = known_claim(task, page)) return known;
  void* memory = free_claims_;
  if (memory != nullptr) {
    free_claims_ = free_claims_->next_of_task;
  } else if (arena_.is_full() || (memory = arena_.allocate(sizeof(Claim))) == nullptr) {
    return nullptr;
  }
  Claim* const made = new (memory) Claim;
  made->task = &task;
  made->page = &page;
  made->next_of_task = std::exchange(task.claims, made);
  made->next_of_page = std::exchange(page.claims, made);
  return made;
}

void History::read(Task& task, Page& page, std::size_t begin, std::size_t end, const Place& place) noexcept {
  Claim* const known = claim(task, page);
  if (known == nullptr) return;
  decide_on(page, begin, end);
  if (known->is_stale) {
    bool stale = false;
    for (std::size_t at = begin; at < end; ++at) {
      if (!known->stale_written.has(at) || page.excluded.has(at)) continue;
      if (byte_at(page.memory + at) == known->believed[at]) {
        known->written.add(at);  // it holds the old value again
      } else {
        stale = stale || page.stored.has(at) || !page.seen.has(at);  // else a counter
      }
    }
    Finding finding;
    if (stale && use(*known, false, begin, end, place, finding))
      add_candidate(finding, *known, begin, end, place);
    known->stale_written.remove(begin, end);
    known->stale_read.remove(begin, end);
  }
  const auto base = reinterpret_cast<std::uintptr_t>(page.memory);
  reads_.add() = {base + begin, base + end, place.pc, place.sp};
  if (lists_used_) known->used_now.add(begin, end);
  if (known->read.add_others(begin, end, known->written_now, page.excluded))
    note(known->reads, begin, end, true, place.calls, {});
}

void History::read_on(Task& task, Page& page, std::size_t begin, const Place& place) noexcept {
  const Claim* const known = known_claim(task, page);
  if (known == nullptr || !known->is_stale) return;
  for (std::size_t at = begin; at < kPageBytes; ++at) {
    if (known->stale_written.has(at)) {
      if (byte_at(page.memory + at) != known->believed[at]) return read(task, page, at, at + 1, place);
    } else if (!known->written.has(at)) {
      return;
    }
  }
}

// A variable that tasks overwrite before they read it (a scratch buffer) is always stale, and looking at each
// of its uses would be slow. After a few times its bytes do not become stale any more.
void History::spare(Page& page, std::size_t at) noexcept {
  if (!page.spared[0].has(at)) {
    page.spared[0].add(at);
  } else {
    if (!page.spared[1].has(at)) page.spared[0].remove(at);
    page.spared[1].add(at);
  }
}

bool History::is_spared(const Page& page, std::size_t at) noexcept {
  return page.spared[0].has(at) && page.spared[1].has(at);
}

void History::write(Task& task, Page& page, std::size_t begin, std::size_t end, Writes how,
                    const Place& place, const HeldLocks& locks) noexcept {
  Claim* const known = claim(task, page);
  if (known == nullptr) return;
  const bool only_stores = how != Writes::kUpdates;
  const bool update = !only_stores || (how == Writes::kStores && is_update(page, begin, end, place));
  for (Candidate& candidate : candidates_) {
    if (candidate_count_ == 0) break;
    if (candidate.claim == nullptr || candidate.claim->page != &page ||
        !overlap(candidate.begin, candidate.end, begin, end))
      continue;
    if (update) {
      candidate.written = awaits_access_ = true;  // decided after it
    } else {
      decide(candidate);
    }
  }
  if (known->is_stale) {
    bool stale = false;
    for (std::size_t at = begin; at < end && only_stores; ++at) {
      stale = stale || (known->stale_read.has(at) && !page.excluded.has(at) &&
                        byte_at(page.memory + at) != known->believed[at]);
    }
    if (Finding finding; stale && use(*known, true, begin, end, place, finding)) report(finding);
    // The buffer of a client is filled by the kernel. One call uses all of it, so looking at it costs little.
    for (std::size_t at = begin; at < end && !update && how != Writes::kByKernel; ++at) {
      if (known->stale_written.has(at)) spare(page, at);
    }
    known->stale_written.remove(begin, end);
    known->stale_read.remove(begin, end);
  }
  if (!known->written.any(begin, end)) {
    copy_bytes(known->before + begin, page.memory + begin, end - begin);
  } else {
    known->written.for_missing(begin, end,
                               [&](std::size_t at) { known->before[at] = byte_at(page.memory + at); });
  }
  if (!update) page.stored.add(begin, end);
  update_of_ = update ? known : nullptr;
  awaits_access_ = awaits_access_ || update;
  update_begin_ = begin;
  update_end_ = end;
  page.seen.add(begin, end);
  known->written.add(begin, end);
  known->written_now.add(begin, end);
  if (lists_used_) known->used_now.add(begin, end);
  known->read.remove(begin, end);
  known->touched = true;
  note(known->writes, begin, end, true, place.calls, locks);
}

void History::write_again(Page& page, std::size_t begin, std::size_t end, const Place& place) noexcept {
  if (!is_update(page, begin, end, place)) return page.stored.add(begin, end);
  update_of_ = page.quick;
  update_begin_ = begin;
  update_end_ = end;
  awaits_access_ = true;
}

// Whether a store ends an update: it comes soon after the last read of these bytes, in the same call.
bool History::is_update(const Page& page, std::size_t begin, std::size_t end,
                        const Place& place) const noexcept {
  const std::uintptr_t code = lists_used_ ? kInstrumentedCodeOfAnUpdate : kCodeOfAnUpdate;
  const auto base = reinterpret_cast<std::uintptr_t>(page.memory);
  for (std::size_t n = 0; n < reads_.size(); ++n) {
    const Read& read = reads_[n];
    if (overlap(read.begin, read.end, base + begin, base + end))
      return place.sp == read.sp && place.pc > read.pc && place.pc - read.pc <= code;
  }
  return false;
}

void History::end_step_of_used(Task& task, const Calls* suspended, bool only_seen) noexcept {
  while (used_ != nullptr) {
    Page& page = *std::exchange(used_, used_->next_used);
    end_step(task, page, suspended, only_seen || page.is_heap);
    page.dirty = false;
    page.running->used_now.clear();
    page.running = page.quick = nullptr;
  }
}

void History::forget(Page& page, std::size_t begin, std::size_t end) noexcept {
  forget_uses(page, begin, end);
  for (PageBits* const bits : {&page.excluded, &page.stored, &page.seen, &page.spared[0], &page.spared[1]})
    bits->remove(begin, end);
  page.ignored = false;
}

void History::forget_uses(Page& page, std::size_t begin, std::size_t end) noexcept {
  for (Candidate& candidate : candidates_) {
    if (candidate.claim != nullptr && candidate.claim->page == &page &&
        overlap(candidate.begin, candidate.end, begin, end)) {
      candidate.claim = nullptr;
      --candidate_count_;
    }
  }
  for (Claim* claim = page.claims; claim != nullptr; claim = claim->next_of_page) {
    for (PageBits* const bits : {&claim->written, &claim->read, &claim->stale_written, &claim->stale_read,
                                 &claim->written_now, &claim->used_now})
      bits->remove(begin, end);
  }
  copy_bytes(page.shadow + begin, page.memory + begin, end - begin);
}

void History::end_step(Task& task, Page& page, const Calls* suspended, bool only_seen) noexcept {
  Claim* own = known_claim(task, page);
  const auto compare = [&](std::size_t first, std::size_t last) {
    if (equal_bytes(page.memory + first, page.shadow + first, last - first)) return;
    const auto changed = [&](std::size_t at) {
      return byte_at(page.memory + at) != page.shadow[at] && !page.excluded.has(at) &&
             (!only_seen || (own != nullptr && own->written_now.has(at)));
    };
    for_runs(first, last, changed, [&](std::size_t begin, std::size_t end) {
      if (own == nullptr) own = claim(task, page);
      if (own == nullptr) return;
      // Writes that were not seen one by one.
      for_runs(
          begin, end, [&](std::size_t at) { return !own->written_now.has(at); },
          [&](std::size_t from, std::size_t to) {
            // The bytes around may belong to a write that was seen: elements of the same array.
            const Note* const near = newest_of(own->writes, from > 0 ? from - 1 : from, to + 1);
            if (near != nullptr && near->exact) {
              note(own->writes, from, to, true, near->calls, task.locks);
            } else {
              note(own->writes, from, to, false, suspended, task.locks);
            }
            for (std::size_t at = from; at < to; ++at) {
              if (!own->written.has(at)) own->before[at] = page.shadow[at];
            }
            own->written.add(from, to);
            own->read.remove(from, to);
            if (own->is_stale) {
              own->stale_written.remove(from, to);
              own->stale_read.remove(from, to);
            }
          });
      for (Claim* other = page.claims; other != nullptr; other = other->next_of_page) {
        if (other != own) make_stale(*other, task, own, begin, end, suspended);
      }
    });
    copy_bytes(page.shadow + first, page.memory + first, last - first);
  };
  // Of the heap only what was seen counts. Page and copy are seldom in the processor's cache: less of them is
  // less to wait for.
  if (!page.is_heap) {
    compare(0, kPageBytes);
  } else if (own != nullptr && own->touched) {
    own->written_now.for_ranges(compare);
  }
  if (own != nullptr && own->touched) {
    own->written_now.clear();
    own->touched = false;
  }
}

void History::make_stale(Claim& claim, Task& by, const Claim* by_claim, std::size_t begin, std::size_t end,
                         const Calls* suspended) noexcept {
  if (!claim.written.any(begin, end) && !claim.read.any(begin, end)) return;
  if (claim.task->record.id == 0) return;  // callbacks do not wait
  const Note* const by_note = newest_of(by_claim->writes, begin, end);
  bool any = false;
  const Page& page = *claim.page;
  for (std::size_t at = begin; at < end; ++at) {
    bool written = claim.written.has(at), read = claim.read.has(at);
    if (!written && !read) continue;
    // A counter, or what tasks overwrite before they use it.
    if ((page.seen.has(at) && !page.stored.has(at)) || is_spared(page, at)) {
      claim.written.remove(at);
      written = false;
      if (!read) continue;
    }
    if (written && by_note != nullptr) {
      const Note* const own_note = newest_of(claim.writes, at, at + 1);
      if (own_note != nullptr && own_note->locks.share_one_with(by_note->locks)) {
        claim.written.remove(at);
        continue;
      }
    }
    claim.believed[at] = claim.page->shadow[at];
    if (written) claim.stale_written.add(at);
    if (read && !written) claim.stale_read.add(at);
    claim.written.remove(at);
    claim.read.remove(at);
    any = true;
  }
  if (!any) return;
  claim.is_stale = true;
  Overwrite& overwrite = claim.overwrites.add();
  overwrite.begin = static_cast<std::uint16_t>(begin);
  overwrite.end = static_cast<std::uint16_t>(end);
  overwrite.exact = by_note != nullptr && by_note->exact;
  overwrite.calls = by_note != nullptr ? by_note->calls : suspended;
  overwrite.by = by.record;
  overwrite.waiting = claim.task->record;
  overwrite.suspended = claim.task->suspended;
}

bool History::use(Claim& claim, bool lost_update, std::size_t begin, std::size_t end, const Place& place,
                  Finding& finding) noexcept {
  const Overwrite* const overwrite = newest_of(claim.overwrites, begin, end);
  if (overwrite == nullptr) return false;  // there were too many others
  finding.lost_update = lost_update;
  finding.address = reinterpret_cast<std::uintptr_t>(claim.page->memory) + begin;
  finding.bytes = end - begin;
  finding.first = claim.task->record;
  if (const Note* const earlier =
          lost_update ? newest_of(claim.reads, begin, end) : newest_of(claim.writes, begin, end))
    finding.earlier = *earlier;
  finding.overwrite = *overwrite;
  finding.used = place.calls;
  return true;
}

void History::add_candidate(const Finding& finding, Claim& claim, std::size_t begin, std::size_t end,
                            const Place& place) noexcept {
  Candidate& candidate = candidates_[next_candidate_++ % kMostCandidates];
  decide(candidate);
  ++candidate_count_;
  candidate.finding = finding;
  candidate.claim = &claim;
  candidate.begin = begin;
  candidate.end = std::min(end, begin + sizeof candidate.value);
  candidate.place = place;
  candidate.written = false;
  copy_bytes(candidate.value, claim.page->memory + begin, candidate.end - begin);
  copy_bytes(candidate.before, claim.before + begin, candidate.end - begin);
}

void History::decide(Candidate& candidate) noexcept {
  Claim* const claim = std::exchange(candidate.claim, nullptr);
  if (claim == nullptr) return;
  --candidate_count_;
  const std::size_t bytes = candidate.end - candidate.begin;
  const char* const now = claim->page->memory + candidate.begin;
  // The task has written it since, perhaps unseen, because the page was open.
  if (!equal_bytes(now, candidate.value, bytes) && !equal_bytes(now, candidate.before, bytes)) return;
  report(candidate.finding);
}

void History::decide_on(const Page& page, std::size_t begin, std::size_t end) noexcept {
  if (candidate_count_ == 0) return;
  for (Candidate& candidate : candidates_) {
    if (candidate.claim != nullptr && candidate.claim->page == &page &&
        overlap(candidate.begin, candidate.end, begin, end))
      decide(candidate);
  }
}

void History::after_access() noexcept {
  awaits_access_ = false;
  // Who puts back the value from before its own first write does not count.
  if (const Claim* const claim = std::exchange(update_of_, nullptr)) {
    if (equal_bytes(claim->page->memory + update_begin_, claim->before + update_begin_,
                    update_end_ - update_begin_))
      claim->page->stored.add(update_begin_, update_end_);
  }
  if (candidate_count_ == 0) return;
  for (Candidate& candidate : candidates_) {
    if (candidate.claim != nullptr && candidate.written) decide(candidate);
  }
}

void History::settle() noexcept {
  update_of_ = nullptr;
  awaits_access_ = false;
  for (Candidate& candidate : candidates_) decide(candidate);
  reads_.total = 0;
}

void History::report(const Finding& finding) noexcept {
  if (finding_count_ == kMostFindings) return;
  findings_[finding_count_++] = finding;
  // Each place is reported once: a variable; of a large one (a struct of options) these bytes.
  constexpr std::size_t kWholeVariable = 256;
  const Variable* const variable = memory_.variable_at(finding.address);
  if (variable != nullptr && variable->size <= kWholeVariable) {
    memory_.exclude(variable->address, variable->size);
  } else {
    memory_.exclude(finding.address & ~std::uintptr_t{7}, (finding.bytes + 15) & ~std::size_t{7});
  }
}

}  // namespace aiofiber::runtime::shared_state
