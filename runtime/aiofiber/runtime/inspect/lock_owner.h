// SPDX-License-Identifier: Apache-2.0
//
// Finds the owner of the lock that a task waits for, from a record's wait_owner.
//
// The record says where the owner is written, not who it is, so it stays right when the lock changes hands.
// libc's locks store their thread, the hooks store the task beside it, and the facade's Lock stores its task.
// A reader looks there when it needs the owner. Header only: shared by the reports inside the process and by
// the aiofiber command.
#pragma once

#include <cstdint>
#include <cstring>

#include "aiofiber/runtime/inspect/registry_abi.h"

namespace aiofiber::runtime {

// Both 0: no owner, or not known. If `tid` is set, `task` counts only if it is a task of that thread: it may
// be an old value.
struct LockOwner {
  std::uint64_t task = 0;  // id
  std::uint32_t tid = 0;   // OS thread

  bool known() const noexcept { return task != 0 || tid != 0; }
};

// The bytes copied from lock_owner_address(): enough for every form.
struct LockOwnerWords {
  std::uint64_t first = 0, second = 0, third = 0;
};
constexpr std::uint64_t lock_owner_address(std::uint64_t wait_owner) noexcept {
  return wait_owner & ~AIOFIBER_OWNER_FORM_MASK;
}
// The number of bytes to copy: memory after them may not be mapped.
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
      break;  // a form from a newer program
  }
  return owner;
}

// Whether a record waits for a lock whose owner can be looked up.
inline bool names_lock_owner(const aiofiber_record& record) noexcept {
  return record.state == AIOFIBER_WAITING && record.wait_kind == AIOFIBER_WAIT_LOCK && record.wait_owner != 0;
}

}  // namespace aiofiber::runtime
