// SPDX-License-Identifier: Apache-2.0
//
// elfutils' libdw, which is opened at the first look-up of a name and is no part of a program that never
// asks.
//
// libdw and the four libraries that it loads would take a quarter of the time in which a program starts. So
// the headers of elfutils are used for their types, and each call goes through a table of functions. The
// program's own table wins, if it has one (libdw_linked.cc): that of a static program, which cannot open
// libraries, and of the command aiofiber. No other file may name a function of libdw, or programs no longer
// link: call libdw().dwfl_begin(...) and so on.
// Threads: libdw is not thread-safe; who uses it holds the mutex of symbolize.cc.
#pragma once

#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>

#include <string>

namespace aiofiber::runtime {

// clang-format off
#define AIOFIBER_LIBDW_FUNCTIONS(F)                                                                 \
  F(dwarf_attr) F(dwarf_attr_integrate) F(dwarf_child) F(dwarf_cu_getdwarf) F(dwarf_diename)        \
  F(dwarf_dieoffset) F(dwarf_filesrc) F(dwarf_formref_die) F(dwarf_formstring) F(dwarf_formudata)   \
  F(dwarf_getlocation) F(dwarf_getscopes_die) F(dwarf_getsrc_die) F(dwarf_getsrcfiles)              \
  F(dwarf_haspc) F(dwarf_lineno) F(dwarf_linesrc) F(dwarf_nextcu) F(dwarf_offdie) F(dwarf_ranges)   \
  F(dwarf_siblingof) F(dwarf_tag) F(dwfl_addrmodule) F(dwfl_begin) F(dwfl_getmodules)               \
  F(dwfl_linux_proc_find_elf) F(dwfl_module_addrdie) F(dwfl_module_addrinfo)                        \
  F(dwfl_module_build_id) F(dwfl_module_getdwarf) F(dwfl_module_getelf) F(dwfl_module_getsym_info)  \
  F(dwfl_module_getsymtab) F(dwfl_module_info) F(dwfl_offline_section_address) F(dwfl_report_begin) \
  F(dwfl_report_end) F(dwfl_report_module)
// clang-format on

struct LibDw {
#define AIOFIBER_LIBDW_MEMBER(name) decltype(&::name) name;
  AIOFIBER_LIBDW_FUNCTIONS(AIOFIBER_LIBDW_MEMBER)
#undef AIOFIBER_LIBDW_MEMBER
};

// Opens it if need be. False: it cannot be used now, and libdw_trouble() says why. It may work later: a
// process may be short of descriptors or memory. Needs 10 KiB of stack; a look-up by libdw needs 160.
bool open_libdw() noexcept;

// Between these two no thread opens it. For a fork: the child would find the loader's lists half-made.
void hold_opening_of_libdw() noexcept;
void release_opening_of_libdw() noexcept;

// Only after open_libdw() has returned true.
const LibDw& libdw() noexcept;

// Why names and lines are missing, and what to do; empty when libdw could be opened or was not needed yet.
std::string libdw_trouble();

}  // namespace aiofiber::runtime

// Null where the program has no table of its own.
extern "C" const aiofiber::runtime::LibDw* aiofiber_linked_libdw() noexcept;
