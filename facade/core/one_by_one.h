// SPDX-License-Identifier: Apache-2.0
//
// Releases objects that hold each other one after the other, not one inside the other: a chain of them may
// have any length, and needs no more stack than one of them.
//
// An object that loses its last reference while another one is released waits for its turn. There is a list
// for each fiber, because a destructor of the program may suspend the fiber in between. Nothing allocates.
#pragma once

#include <cstdint>

#include "aiofiber/runtime/engine/fiber.h"

namespace aiofiber::detail {

// Object: the class that has the link. Traits: `Object*& next(Object&)`, a link that is free until the object
// is released; `void release(Object&)`.
template <class Object, class Traits>
void release_one_by_one(Object& object) noexcept {
  struct Turn {
    Object* first = nullptr;
    Object* last = nullptr;
  };
  struct TurnOfThread {
    Turn* turn = nullptr;
    std::uint64_t fiber_id = 0;
  };
  static constinit thread_local TurnOfThread now{};
  const runtime::Fiber* const fiber = runtime::current_fiber();
  const std::uint64_t fiber_id = fiber != nullptr ? fiber->id : 0;
  Traits::next(object) = nullptr;
  if (now.turn != nullptr && now.fiber_id == fiber_id) {
    (now.turn->first == nullptr ? now.turn->first : Traits::next(*now.turn->last)) = &object;
    now.turn->last = &object;
    return;
  }
  Turn turn{&object, &object};
  while (Object* const next = turn.first) {
    turn.first = Traits::next(*next);
    now = {&turn, fiber_id};
    Traits::release(*next);
  }
  if (now.turn == &turn) now = {};
}

}  // namespace aiofiber::detail
