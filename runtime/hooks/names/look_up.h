// SPDX-License-Identifier: Apache-2.0
//
// look_up(): a look-up of names on the pool, which its task can leave behind.
//
// A server that does not answer keeps libc's resolver for half a minute, a directory of users for longer. So
// a cancellation, and an alarm whose handler jumps away, leave the call: it has copies of its arguments, and
// memory of its own for the answer, which the task copies when it has come.
//
// A handler's jump must not skip a destructor. So the hooks hand over a function that makes the copies, and
// their own frames hold nothing but plain values.
// Threads: the task's only, but for call(), which a thread of the pool calls.
#pragma once

#include <cerrno>
#include <cstddef>
#include <optional>
#include <string>

#include "aiofiber/runtime/engine/offload.h"
#include "hooks/core/act.h"
#include "hooks/core/locals.h"

namespace aiofiber::hooks {

// A copy of a C string, or of its absence.
class OwnText {
 public:
  explicit OwnText(const char* text)
      : text_(text != nullptr ? std::optional<std::string>(text) : std::nullopt) {}
  const char* get() const noexcept { return text_ ? text_->c_str() : nullptr; }

 private:
  std::optional<std::string> text_;
};

namespace detail {
// False with errno ECANCELED: a cancelled task starts no look-up.
bool may_look_up() noexcept;
// Waits for the task's look-up. False: a cancellation ended the wait.
bool wait_for_look_up();
}  // namespace detail

// Makes a Call of the arguments and returns it when it has run. Null with errno ECANCELED, ENOMEM or EAGAIN
// (no thread). It exists until end_look_up(). An alarm's handler may jump away: the callers' frames must have
// nothing to destroy.
template <class Call, class... Arguments>
Call* look_up(const Arguments&... arguments) {
  if (!detail::may_look_up()) return nullptr;
  calls_since_turn = 0;
  Call* call = nullptr;
  const bool is_started = without_throwing([&] {
    auto& owner = get_locals().look_up;
    owner.reset(call = new Call(arguments...));
    call->start(runtime::OffloadPool::io());
  });
  if (!is_started) return nullptr;
  if (detail::wait_for_look_up()) return call;
  find_locals()->look_up.reset();
  errno = ECANCELED;
  return nullptr;
}

// The answer has been copied. errno is kept.
inline void end_look_up() noexcept {
  const int saved_errno = errno;
  find_locals()->look_up.reset();
  errno = saved_errno;
}

}  // namespace aiofiber::hooks
