// SPDX-License-Identifier: Apache-2.0
//
// What stands in glibc's tables of FILE operations once stdio suspends tasks.
//
// Reading and writing are the hooks' read and write, for a task; every other operation is glibc's own, which
// waits first while another task is suspended inside the FILE. A FILE that is no descriptor's (fmemopen,
// open_memstream, fopencookie) has other tables, which stay as they are.
#pragma once

#include "hooks/glibc/stdio_tables.h"

namespace aiofiber::hooks {

// Keeps what the tables hold as the functions to go on to, and fills `replacement` with ours.
void prepare_stdio_slots(const StdioTables& tables, void* (*replacement)[kStdioSlots]) noexcept;
// What the tables held before.
void* const (*original_stdio_slots() noexcept)[kStdioSlots];

}  // namespace aiofiber::hooks
