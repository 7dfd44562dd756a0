// SPDX-License-Identifier: Apache-2.0
//
// The stack pointer in a jmp_buf, which no header documents.
//
// glibc stores it mangled by a number of the thread, the pointer guard, so that an overwritten buffer does
// not become a jump to anywhere. The layout is known for x86-64. It is tested when the hooks are loaded;
// where the test fails, or on another processor or libc, the answer is "not known" and jumps are left to
// libc.
#pragma once

#include <csetjmp>
#include <cstdint>

namespace aiofiber::hooks {

// Where a jump by this buffer will continue: the stack pointer of the frame that called setjmp(). 0: not
// known. Threads: the one that filled the buffer. Async-signal-safe.
std::uintptr_t stack_pointer_of(const __jmp_buf_tag* buffer) noexcept;

}  // namespace aiofiber::hooks
