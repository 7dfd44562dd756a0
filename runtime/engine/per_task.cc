// SPDX-License-Identifier: Apache-2.0
//
// The functions of <aiofiber/per_task.h>: errors become numbers and a line on stderr.
#include "aiofiber/per_task.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string_view>
#include <system_error>

#include "aiofiber/runtime/engine/task_values.h"

namespace aiofiber::runtime {
namespace {

TaskVariableOptions options_of(const aiofiber_per_task_options* options) noexcept {
  if (options == nullptr) return {};
  return {options->from_registration != 0, options->init, options->release, options->argument};
}

template <class Register>
int error_of(Register register_variable) noexcept {
  try {
    register_variable();
    return 0;
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "aiofiber: per task: %s\n", error.what());
    return error.code().value();
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "aiofiber: per task: out of memory\n");
    return ENOMEM;
  }
}

}  // namespace
}  // namespace aiofiber::runtime

using namespace aiofiber::runtime;

extern "C" {

int aiofiber_per_task_with(const char* symbol, const aiofiber_per_task_options* options) {
  return error_of([=] { add_task_variable_named(symbol != nullptr ? symbol : "", options_of(options)); });
}

int aiofiber_per_task(const char* symbol) { return aiofiber_per_task_with(symbol, nullptr); }

int aiofiber_per_task_range(void* begin, std::size_t bytes, const char* name,
                            const aiofiber_per_task_options* options) {
  return error_of([=] { add_task_variable(begin, bytes, name != nullptr ? name : "", options_of(options)); });
}

int aiofiber_per_task_on_this_thread(int wanted) {
  return error_of([=] { set_task_values_here(wanted != 0); });
}

void aiofiber_per_task_entries(aiofiber_per_task_entry* const* begin, aiofiber_per_task_entry* const* end) {
  for (auto* const* at = begin; at != end; ++at) {
    const aiofiber_per_task_entry& entry = **at;
    if (aiofiber_per_task_range(entry.begin, entry.bytes, entry.name, &entry.options) != 0) std::abort();
  }
}

}  // extern "C"
