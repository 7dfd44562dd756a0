// SPDX-License-Identifier: Apache-2.0
//
// Names of functions as a reader wants them: `legacy::fetch<int>` for `_ZN6legacy5fetchIiEEvi`; and which
// functions are no business of the program's author.
// Shared by the tracebacks inside the process and by the aiofiber command. Threads: any.
#pragma once

#include <string>
#include <string_view>

namespace aiofiber::runtime {

// The name in the source's spelling, with parameters; the argument itself when it is not a mangled name.
std::string demangle(const char* mangled);

// A demangled name without its return type and parameter lists: `void a::f<int>(int) const` gives
// `a::f<int>`.
std::string display_name(const std::string& demangled);
// The same without what nobody writes: `std::string` by that name, no arguments of templates that are the
// standard library's defaults (allocators, comparisons, hashes), and `main::{lambda}` for a lambda in main
// and for those in it, however the compiler spells them: the line tells which.
std::string abridge(std::string display);

// What is called, in a line of text: `load()`, `main::{lambda} (main.cc:12)`. The line is where the function
// begins.
std::string called_function(const std::string& function, const std::string& file, int line);

// Whether a source file is one of the hooks'. Their tests, in a folder of the same name, are a program's own
// code.
bool is_hook(std::string_view file) noexcept;

// Whether code stands between the program's own and the call that waits: hooks, headers of the system, such
// as those of std::mutex, and all that is in the libraries of C and C++, or in no module at all.
bool is_library_code(std::string_view file, std::string_view module) noexcept;

// The linkage name of what runs a loop: whoever called it has no part in what the loop's callbacks do.
inline constexpr std::string_view kRunsTheLoop = "_ZN8aiofiber7runtime9Scheduler3runEv";

// Whether a frame stands between the program's own: the runtime, the facade, and what the standard library
// calls callables with. `function` is for display, `linkage_name` mangled or empty.
bool is_plumbing(std::string_view function, std::string_view linkage_name, std::string_view file,
                 bool inlined) noexcept;

}  // namespace aiofiber::runtime
