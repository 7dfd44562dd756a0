// SPDX-License-Identifier: Apache-2.0
//
// Places in the source for compilers that do not make constants of them. A place is written once and stays,
// so a promise may point to it, as to what other compilers write. Without a lock: a slot is claimed, written,
// and then shown. Two threads that add one place at the same moment may use two slots.
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "aiofiber/coro_chain.h"

namespace aiofiber::detail {

namespace {

constexpr std::size_t kPlaces = 4096;

enum class State : std::uint32_t { kFree, kClaimed, kShown };

struct Slot {
  std::atomic<State> state{State::kFree};
  aiofiber_place place{};
};

constinit std::array<Slot, kPlaces> slots{};

bool is_same(const aiofiber_place& a, const aiofiber_place& b) noexcept {
  return a.file == b.file && a.function == b.function && a.line == b.line;
}

std::size_t hash(const aiofiber_place& place) noexcept {
  const std::uint64_t mixed = (place.file ^ (place.function << 1) ^ place.line) * 0x9e3779b97f4a7c15u;
  return static_cast<std::size_t>(mixed >> 32);
}

}  // namespace

const aiofiber_place* kept_place(const char* file, const char* function, unsigned line) noexcept {
  const aiofiber_place wanted{reinterpret_cast<std::uint64_t>(file),
                              reinterpret_cast<std::uint64_t>(function), line, 0};
  const std::size_t first = hash(wanted);
  for (std::size_t i = 0; i < kPlaces; ++i) {
    Slot& slot = slots[(first + i) % kPlaces];
    State state = slot.state.load(std::memory_order_acquire);
    if (state == State::kFree &&
        slot.state.compare_exchange_strong(state, State::kClaimed, std::memory_order_acquire)) {
      slot.place = wanted;
      slot.state.store(State::kShown, std::memory_order_release);
      return &slot.place;
    }
    if (state == State::kShown && is_same(slot.place, wanted)) return &slot.place;
  }
  static const aiofiber_place other{reinterpret_cast<std::uint64_t>("(more than 4096 places)"),
                                    reinterpret_cast<std::uint64_t>(""), 0, 0};
  return &other;
}

}  // namespace aiofiber::detail
