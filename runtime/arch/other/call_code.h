// SPDX-License-Identifier: Apache-2.0
//
// The code of an unknown processor: no call is found.
//
// So `aiofiber hooks --check` has only a program's imports: it reports which functions may be called, but not
// where.
#pragma once

#include <cstddef>
#include <cstdint>

#include "arch/call_code.h"

namespace aiofiber::runtime::arch {

template <class Found>
void for_each_displacement(const unsigned char*, std::size_t, std::uint64_t, Found) {}
template <class Found>
void for_each_short_jump(const unsigned char*, std::size_t, std::uint64_t, Found) {}
inline bool is_branch(const unsigned char*) { return false; }
inline bool is_operand(const unsigned char*) { return false; }
inline MemoryUse use_of_memory(const unsigned char*) { return {}; }
inline bool is_jump_through_slot(const unsigned char*) { return false; }
inline bool is_call_through_slot(const unsigned char*) { return false; }
inline std::size_t stub_begin(const unsigned char*, std::size_t index) { return index; }
inline std::size_t where_true_goes(const unsigned char*, std::size_t, std::size_t index) { return index; }
inline bool is_jump_back(const unsigned char*, std::size_t, std::size_t) { return false; }
inline int set_before(const unsigned char*, std::size_t, Argument) { return -1; }
template <class Found>
void for_each_system_call(const unsigned char*, std::size_t, Found) {}

}  // namespace aiofiber::runtime::arch
