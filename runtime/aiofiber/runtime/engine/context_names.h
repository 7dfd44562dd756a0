// SPDX-License-Identifier: Apache-2.0
//
// By which names the linker knows Boost.Context's functions: for assembly that enters them, and for
// declarations that keep Boost's headers out. Up to Boost 1.86 they are C's names, from 1.87 on C++'s. The
// build finds out which (tools/cmake/context_names.cmake) and says so to aiofiber's own sources; nobody else
// needs them.
#pragma once

#if defined(AIOFIBER_CONTEXT_NAMES_ARE_CXX)
#define AIOFIBER_JUMP_FCONTEXT "_ZN5boost7context6detail13jump_fcontextEPvS2_"
#define AIOFIBER_MAKE_FCONTEXT "_ZN5boost7context6detail13make_fcontextEPvmPFvNS1_10transfer_tEE"
#else
#define AIOFIBER_JUMP_FCONTEXT "jump_fcontext"
#define AIOFIBER_MAKE_FCONTEXT "make_fcontext"
#endif
