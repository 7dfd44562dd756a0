// SPDX-License-Identifier: Apache-2.0
//
// The linker names of Boost.Context's functions, for assembly that jumps to them and for declarations without
// Boost's headers. Up to Boost 1.86 they are C names, from 1.87 on C++ names. The build finds out which
// (tools/cmake/context_names.cmake) and defines a macro for aiofiber's own sources; no other code needs them.
#pragma once

#if defined(AIOFIBER_CONTEXT_NAMES_ARE_CXX)
#define AIOFIBER_JUMP_FCONTEXT "_ZN5boost7context6detail13jump_fcontextEPvS2_"
#define AIOFIBER_MAKE_FCONTEXT "_ZN5boost7context6detail13make_fcontextEPvmPFvNS1_10transfer_tEE"
#else
#define AIOFIBER_JUMP_FCONTEXT "jump_fcontext"
#define AIOFIBER_MAKE_FCONTEXT "make_fcontext"
#endif
