// SPDX-License-Identifier: Apache-2.0
//
// By which names the linker knows Boost.Context's functions, for assembly that enters them, and for declarations that keep
// Boost's headers out. From Boost 1.87 on they are C++ names, before they are C's: the build finds out (context_names.cmake).
#pragma once

#if defined(AIOFIBER_CONTEXT_NAMES_ARE_CXX)
#define AIOFIBER_JUMP_FCONTEXT "_ZN5boost7context6detail13jump_fcontextEPvS2_"
#define AIOFIBER_MAKE_FCONTEXT "_ZN5boost7context6detail13make_fcontextEPvmPFvNS1_10transfer_tEE"
#else
#define AIOFIBER_JUMP_FCONTEXT "jump_fcontext"
#define AIOFIBER_MAKE_FCONTEXT "make_fcontext"
#endif
