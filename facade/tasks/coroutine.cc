// SPDX-License-Identifier: Apache-2.0
//
// Coroutine objects: errors of misuse, the never-awaited report, and the end of a chain of them.
#include "aiofiber/coroutine.h"

#include <cstdint>

#include "aiofiber/awaitable.h"
#include "aiofiber/log.h"
#include "aiofiber/runtime/inspect/traceback.h"

namespace aiofiber::detail {

void report_never_awaited(EntryInfo entry, const SourceTrace& origin) noexcept {
  try {
    std::string text = "RuntimeWarning: coroutine '" + entry_name(entry) + "' was never awaited";
    if (const auto frames = origin.frames(); !frames.empty()) {
      text += "\nCoroutine created at (most recent call last)\n" + runtime::format_frames(frames);
      text.pop_back();
    }
    log(LogLevel::WARNING, text);
  } catch (...) {
    log(LogLevel::WARNING, "RuntimeWarning: a coroutine was never awaited");
  }
}

void throw_reused() { throw RuntimeError("cannot reuse already awaited coroutine"); }
void throw_awaited_already() { throw RuntimeError("coroutine is being awaited already"); }
void throw_wrong_loop() {
  throw ValueError("The future belongs to a different loop than the one specified as the loop argument");
}

namespace {
// What the thread destroys now, and what is to follow. Never a pointer to a stack: a destructor may await,
// and the task that does so may be abandoned. Then another chain ends by recursion, as any object's members
// do.
struct Ending {
  const void* object = nullptr;
  std::size_t bytes = 0;
  HeapFunction next{};  // its object is null: nothing
};
constinit thread_local Ending ending;

bool lies_in(const Ending& now, const void* storage) noexcept {
  const auto begin = reinterpret_cast<std::uintptr_t>(now.object);
  return reinterpret_cast<std::uintptr_t>(storage) - begin < now.bytes;
}
}  // namespace

void end_in_turn(const void* storage, const HeapFunction& function) noexcept {
  if (ending.next.object != nullptr) {  // somebody else's, who is in the middle of it
    function.destroy(function.object);
    return;
  }
  if (lies_in(ending, storage)) {
    ending.next = function;
    return;
  }
  for (HeapFunction now = function; now.object != nullptr;) {
    ending = {now.object, now.bytes, {}};
    now.destroy(now.object);
    // Not if a destructor of the program has ended another chain meanwhile.
    const bool is_ours = ending.object == now.object;
    now = is_ours ? ending.next : HeapFunction{};
    if (is_ours) ending = {};
  }
}

}  // namespace aiofiber::detail
