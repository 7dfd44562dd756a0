// SPDX-License-Identifier: Apache-2.0
//
// From an address in this process to function, file and line, inlined calls included.
//
// The idea: addresses are captured often and cheaply (unwind.h), and looked up only when they are shown, in
// DWARF debug information by elfutils' libdw, which is loaded then. The first look-up in a compilation unit
// takes milliseconds; a repeated one finds the answer in a cache. Without libdw only exported functions have
// names (missing_names()).
//
// Invariants: no network (debug files come only from this machine); missing debug information never throws,
// the frame only says less. Threads: any; one mutex around everything. Not async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "aiofiber/runtime/inspect/function_name.h"
#include "aiofiber/runtime/inspect/source_line.h"

namespace aiofiber::runtime {

struct SymbolizedFrame {
  std::uintptr_t address = 0;
  // For display: qualified, without parameters, as `legacy::fetch<int>`; "??" if unknown.
  std::string function;
  std::string linkage_name;  // as the linker knows it (mangled); empty when unknown
  std::string file;          // empty when unknown
  int line = 0;              // 0 when unknown. In an outer frame: the line of the call that was inlined
  bool inlined = false;      // has no frame of its own on the stack
  std::string module;        // path of the executable or shared library; empty when the address is in none
  std::uintptr_t module_offset = 0;  // address - start of the module, for symbolizing elsewhere
  // Of the module, in hexadecimal digits: which build's symbols fit; empty when it has none.
  std::string build_id;
};

// The frames of one return address, at least one: INNERMOST (inlined) first, the function with the stack
// frame last. `exact`: the address is that of an instruction (a fault, a function's start), not of one after
// a call.
std::vector<SymbolizedFrame> symbolize(std::uintptr_t address, bool exact = false);

// Loads libdw now instead of at the first look-up. For those who look up names while the program may stand in
// the loader, and for a program that is about to lose its libraries (chroot). False: it cannot be loaded.
bool prepare_symbols() noexcept;

// Why names and lines are missing, in words for the end of a report; empty if libdw could be loaded, or was
// not needed yet.
std::string missing_names();

// The static variable that contains the address, as `app::cache` or `app::cache+0x8`; empty when there is
// none, or when the module has no symbols.
std::string data_symbol(std::uintptr_t address);

struct DataSymbol {
  std::uintptr_t address = 0;
  std::size_t size = 0;
  std::string name;          // for display
  std::string linkage_name;  // mangled, or the same
  std::string file;          // of a variable that only one source file sees: that file's name; else empty
};
// All static variables of the module that contains the address, by address; empty when it has no symbols.
std::vector<DataSymbol> data_symbols(std::uintptr_t address);

// The source file that defines the static variable which begins at the address, from debug information; empty
// when it is not known. For variables outside functions. Takes some time.
std::string file_of_variable(std::uintptr_t address);

}  // namespace aiofiber::runtime
