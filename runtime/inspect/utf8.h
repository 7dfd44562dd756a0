// SPDX-License-Identifier: Apache-2.0
//
// Text that comes from anywhere (names of tasks, of functions, of files), made fit for a terminal and for
// JSON.
//
// Two dangers: bytes that are no UTF-8, which no reader of JSON accepts, and characters that do something to
// a terminal instead of showing: controls, those of C1 too (U+009B begins an escape sequence), and marks that
// turn the direction of what follows. Threads: any. The aiofiber command is built with this file too.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace aiofiber::runtime {

// The bytes of the well-formed character that `text` begins with (Unicode 15, table 3-7); 0: there is none.
std::size_t utf8_length(std::string_view text) noexcept;

// At most `bytes` of the text, and no part of a character at the end; what was no UTF-8 before stays so.
std::string_view cut_utf8(std::string_view text, std::size_t bytes) noexcept;

// The same text with `?` for each byte that is no UTF-8 and for each character that does something to a
// terminal.
std::string printable(std::string_view text);

// Appends it as a string of JSON, quotes included: U+FFFD for each byte that is no UTF-8; what does something
// to a terminal as \u escapes.
void append_json_string(std::string_view text, std::string& json);

}  // namespace aiofiber::runtime
