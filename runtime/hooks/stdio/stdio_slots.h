// SPDX-License-Identifier: Apache-2.0
//
// The functions in glibc's tables of FILE operations once stdio suspends tasks.
//
// In a task, reading and writing are the hooks' read and write. Every other operation is glibc's own, but
// first waits while another task is suspended inside the FILE. A FILE without a descriptor (fmemopen,
// open_memstream, fopencookie) has other tables, which stay as they are.
#pragma once

#include "hooks/glibc/stdio_tables.h"

namespace aiofiber::hooks {

// Saves the functions in the tables, which the new ones call, and fills `replacement` with the new ones.
void prepare_stdio_slots(const StdioTables& tables, void* (*replacement)[kStdioSlots]) noexcept;
// The functions that the tables held before.
void* const (*original_stdio_slots() noexcept)[kStdioSlots];

}  // namespace aiofiber::hooks
