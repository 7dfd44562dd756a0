// SPDX-License-Identifier: Apache-2.0
//
// Creates and frees a task's locals.
#include "hooks/core/locals.h"

#include "aiofiber/hooks.h"
#include "aiofiber/runtime/engine/fiber.h"

namespace aiofiber::hooks {

namespace {

// On the fiber, after its body has returned: destructors may run code of any library, but not suspend.
void release_locals(runtime::Fiber& fiber) noexcept {
  const Disable no_suspension;
  Locals* const locals = find_locals(fiber);
  destroy_key_values(*locals);
  forget_jump_buffers(*locals);
  fiber.locals_of(release_locals) = locals->next;
  delete locals;
}

}  // namespace

Locals::Locals() noexcept : FiberLocals{release_locals, Until::kStackGoes} {}

Locals* find_locals() noexcept {
  runtime::Fiber* fiber = runtime::current_fiber();
  return fiber == nullptr ? nullptr : find_locals(*fiber);
}

Locals* find_locals(runtime::Fiber& fiber) noexcept {
  return static_cast<Locals*>(fiber.locals_of(release_locals));
}

Locals& get_locals() {
  if (Locals* locals = find_locals()) return *locals;
  auto* locals = new Locals;
  runtime::Fiber& fiber = *runtime::current_fiber();
  fiber.locals_of(release_locals) = locals;  // at the end of the list
  return *locals;
}

}  // namespace aiofiber::hooks
