// SPDX-License-Identifier: Apache-2.0
//
// Readable names of functions, `legacy::fetch<int>` for `_ZN6legacy5fetchIiEEvi`, and which functions are not
// the program's own.
// Shared by the tracebacks inside the process and by the aiofiber command. Threads: any.
#pragma once

#include <string>
#include <string_view>

namespace aiofiber::runtime {

// The demangled name, with parameters. Returns the argument itself when it is not a mangled name.
std::string demangle(const char* mangled);

// g++ puts the code of a coroutine into a function of its own, whose name has the coroutine's as a part:
// `_Z1fPZ1fiE6_Z1fi.Frame.actor` for `f(int)`, which gives `_Z1fi`. Empty for other names.
std::string coroutine_of_actor(std::string_view symbol);

// A demangled name without its return type and parameter lists: `void a::f<int>(int) const` gives
// `a::f<int>`.
std::string display_name(const std::string& demangled);
// The same in the short form: `std::string` by that name; without template arguments that are the standard
// library's defaults (allocators, comparisons, hashes); `main::{lambda}` for all lambdas in main, also nested
// ones, in the spelling of any compiler. The line tells them apart.
std::string abridge(std::string display);

// The called function in a line of text: `load()`, `main::{lambda} (main.cc:12)`. The line is where the
// function begins.
std::string called_function(const std::string& function, const std::string& file, int line);

// Sets `known`, the file of a function as debug information names it, to `file`, in which a place in that
// function lies. If both are the same file, `known` stays: compilers write shorter names for places.
void place_in_file(std::string file, std::string& known);

// Whether a source file belongs to the hooks. The hooks' tests, in a folder of the same name, are the
// program's own code.
bool is_hook(std::string_view file) noexcept;

// Whether code lies between the program's own code and the call that waits: hooks, system headers
// (std::mutex), the libraries of C and C++, and addresses in no module.
bool is_library_code(std::string_view file, std::string_view module) noexcept;

// The linkage name of the function that runs a loop. Its callers are not part of the loop's callbacks.
inline constexpr std::string_view kRunsTheLoop = "_ZN8aiofiber7runtime9Scheduler3runEv";

// Whether a frame is not the program's own: the runtime, the facade, or the standard library's code for
// calling callables. `function` is a display name, `linkage_name` is mangled or empty.
bool is_plumbing(std::string_view function, std::string_view linkage_name, std::string_view file,
                 bool inlined) noexcept;

}  // namespace aiofiber::runtime
