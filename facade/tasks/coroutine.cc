// SPDX-License-Identifier: Apache-2.0
//
// Misuse of coroutine objects: their errors and the never-awaited report.
#include "aiofiber/coroutine.h"

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

}  // namespace aiofiber::detail
