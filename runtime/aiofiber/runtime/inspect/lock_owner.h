// SPDX-License-Identifier: Apache-2.0
//
// Who has the lock that a task waits for: how a record's wait_owner is read.
//
// The record says where that is written, not who it is, so nothing has to be rewritten when the lock changes
// hands: libc's locks know their thread, the hooks note the task beside it, and a Lock of the facade notes
// its task. A reader looks there at the moment of asking. Header only: shared by the reports inside the
// process and by the aiofiber command.
#pragma once

#include <cstdint>
#include <cstring>

#include "aiofiber/runtime/inspect/registry_abi.h"

namespace aiofiber::runtime {

// Both 0: nobody, or not known. With a thread, `task` counts only if it is a task of that thread: what it
// says may be left over.
struct LockOwner {
  std::uint64_t task = 0;  // id
  std::uint32_t tid = 0;   // OS thread

  bool known() const noexcept { return task != 0 || tid != 0; }
};

// What is copied from lock_owner_address(): enough for every form.
struct LockOwnerWords {
  std::uint64_t first = 0, second = 0, third = 0;
};
constexpr std::uint64_t lock_owner_address(std::uint64_t wait_owner) noexcept {
  return wait_owner & ~AIOFIBER_OWNER_FORM_MASK;
}
// So many bytes: what lies behind may not be mapped.
constexpr std::size_t lock_owner_bytes(std::uint64_t wait_owner) noexcept {
  return (wait_owner & AIOFIBER_OWNER_FORM_MASK) == AIOFIBER_OWNER_THREAD ? sizeof(LockOwnerWords)
                                                                          : sizeof(std::uint64_t);
}

inline LockOwner decode_lock_owner(std::uint64_t wait_owner, const LockOwnerWords& words) noexcept {
  LockOwner owner;
  switch (wait_owner & AIOFIBER_OWNER_FORM_MASK) {
    case AIOFIBER_OWNER_ID:
      if ((words.first & AIOFIBER_OWNER_IS_THREAD) != 0) {
        owner.tid = static_cast<std::uint32_t>(words.first);
      } else {
        owner.task = words.first;
      }
      break;
    case AIOFIBER_OWNER_THREAD:
      std::memcpy(&owner.tid, &words.first, sizeof owner.tid);
      if (owner.tid != 0) owner.task = words.third;
      break;
    default:
      break;  // a form of a newer program
  }
  return owner;
}

// Whether a record waits for a lock of which the owner can be looked up.
inline bool names_lock_owner(const aiofiber_record& record) noexcept {
  return record.state == AIOFIBER_WAITING && record.wait_kind == AIOFIBER_WAIT_LOCK && record.wait_owner != 0;
}

}  // namespace aiofiber::runtime
