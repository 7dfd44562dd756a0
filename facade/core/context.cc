// SPDX-License-Identifier: Apache-2.0
//
// The current context, and copy-on-write of its map.
//
// A shared map never changes: set() replaces it by a changed copy, so a copy of a context is one pointer.
// Programs have few variables, so the map is an array with linear search.
#include "aiofiber/context.h"

#include <algorithm>

#include "aiofiber/handle.h"
#include "aiofiber/loop_core.h"

namespace aiofiber {

namespace detail {

std::shared_ptr<ContextData>& current_context_data() {
  if (std::shared_ptr<ContextData>* of_task = current_task_context()) return *of_task;
  if (LoopCore* loop = LoopCore::running(); loop != nullptr && loop->running_handle != nullptr) {
    return loop->running_handle->context;
  }
  thread_local std::shared_ptr<ContextData> of_thread;
  return of_thread;
}

std::shared_ptr<const void> context_lookup(const void* variable) {
  const std::shared_ptr<ContextData>& current = current_context_data();
  if (current == nullptr || current->map == nullptr) return nullptr;
  for (const auto& [key, value] : *current->map) {
    if (key == variable) return value;
  }
  return nullptr;
}

void context_assign(const void* variable, std::shared_ptr<const void> value) {
  std::shared_ptr<ContextData>& current = current_context_data();
  if (current == nullptr) current = std::make_shared<ContextData>();
  auto changed =
      current->map != nullptr ? std::make_shared<ContextMap>(*current->map) : std::make_shared<ContextMap>();
  const auto place = std::find_if(changed->begin(), changed->end(),
                                  [&](const auto& entry) { return entry.first == variable; });
  if (place == changed->end()) {
    if (value != nullptr) changed->emplace_back(variable, std::move(value));
  } else if (value != nullptr) {
    place->second = std::move(value);
  } else {
    changed->erase(place);
  }
  // This comes last, and the old map outlives the assignment: destroying a value may run code that sets
  // variables.
  std::shared_ptr<const ContextMap> replacement = std::move(changed);
  current->map.swap(replacement);
}

std::shared_ptr<ContextData> inherit_context() {
  const std::shared_ptr<ContextData>& current = current_context_data();
  if (current == nullptr || current->map == nullptr || current->map->empty()) return nullptr;
  return std::make_shared<ContextData>(*current);
}

}  // namespace detail

Context::Context() : data_(std::make_shared<detail::ContextData>()) {}

Context copy_context() {
  std::shared_ptr<detail::ContextData> copy = detail::inherit_context();
  return copy != nullptr ? Context(std::move(copy)) : Context();
}

}  // namespace aiofiber
