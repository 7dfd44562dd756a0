// SPDX-License-Identifier: Apache-2.0
//
// The table of a program that is linked with libdw. Not part of the runtime: an archive of its own, for
// static programs (the target aiofiber::libdw) and for the command.
#include "inspect/libdw.h"

extern "C" const aiofiber::runtime::LibDw* aiofiber_linked_libdw() noexcept {
  static constexpr aiofiber::runtime::LibDw table{
#define AIOFIBER_LIBDW_ADDRESS(name) &::name,
      AIOFIBER_LIBDW_FUNCTIONS(AIOFIBER_LIBDW_ADDRESS)
#undef AIOFIBER_LIBDW_ADDRESS
  };
  return &table;
}
