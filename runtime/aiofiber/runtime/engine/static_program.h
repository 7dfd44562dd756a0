// SPDX-License-Identifier: Apache-2.0
//
// Whether the program has no dynamic loader. Such a program must not open libraries: they would bring a
// second libc, whose memory is given back to the program's. Inline, because the command has it without the
// runtime.
#pragma once

#include <link.h>

#include <cstddef>

namespace aiofiber::runtime {

inline bool program_is_static() noexcept {
  // The program comes first: no other module is asked.
  const auto look = [](dl_phdr_info* program, std::size_t, void*) {
    for (int i = 0; i < program->dlpi_phnum; ++i) {
      if (program->dlpi_phdr[i].p_type == PT_INTERP) return 1;
    }
    return 2;
  };
  return dl_iterate_phdr(look, nullptr) != 1;
}

}  // namespace aiofiber::runtime
