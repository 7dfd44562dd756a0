// SPDX-License-Identifier: Apache-2.0
//
// Makes foreign text (names of tasks, functions, files) safe for a terminal and for JSON.
//
// There are two dangers. Bytes that are no UTF-8 are rejected by readers of JSON. Some characters control a
// terminal: control characters, also those of C1 (U+009B begins an escape sequence), and marks that change
// the direction of text. Threads: any. The aiofiber command is built with this file too.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace aiofiber::runtime {

// The length of the well-formed character at the start of `text` (Unicode 15, table 3-7); 0: there is none.
std::size_t utf8_length(std::string_view text) noexcept;

// At most `bytes` of the text, without a partial character at the end. Invalid UTF-8 in the text stays.
std::string_view cut_utf8(std::string_view text, std::size_t bytes) noexcept;

// The same text with `?` for each byte that is no UTF-8 and for each character that controls a terminal.
std::string printable(std::string_view text);

// Appends the text as a JSON string, quotes included: U+FFFD for each byte that is no UTF-8, \u escapes for
// characters that control a terminal.
void append_json_string(std::string_view text, std::string& json);

}  // namespace aiofiber::runtime
