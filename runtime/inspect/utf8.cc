// SPDX-License-Identifier: Apache-2.0
//
// One walk over the characters. Plain ASCII text, as in most names, is not walked.
#include "inspect/utf8.h"

#include <algorithm>
#include <cstdint>

namespace aiofiber::runtime {

namespace {

std::uint32_t code_of(std::string_view character) noexcept {
  if (character.size() == 1) return static_cast<unsigned char>(character[0]);
  std::uint32_t code = static_cast<unsigned char>(character[0]) & (0x7fu >> character.size());
  for (const char c : character.substr(1)) code = code << 6 | (static_cast<unsigned char>(c) & 0x3fu);
  return code;
}

// Control characters, direction marks, line separators; and invisible characters, with which two different
// names would look the same.
bool acts(std::uint32_t code) noexcept {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c ||
         (code >= 0x200b && code <= 0x200f && code != 0x200d) || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2060 && code <= 0x206f) || code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb) ||
         (code >= 0xe0000 && code <= 0xe007f);
}

bool is_plain(char c) noexcept { return c >= 0x20 && c < 0x7f; }

// Calls use(character, code) for each character, and broken() for each byte that is part of none.
template <class Use, class Broken>
void for_each_character(std::string_view text, Use use, Broken broken) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      broken();
    } else {
      use(text.substr(0, length), code_of(text.substr(0, length)));
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
}

void append_escape(std::uint32_t code, std::string& json) {
  static constexpr char kHex[] = "0123456789abcdef";
  if (code >= 0x10000) {  // a pair of surrogates
    append_escape(0xd800 + ((code - 0x10000) >> 10), json);
    code = 0xdc00 + ((code - 0x10000) & 0x3ff);
  }
  json += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) json += kHex[code >> shift & 15];
}

}  // namespace

std::size_t utf8_length(std::string_view text) noexcept {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80                    ? 1
                             : first >= 0xc2 && first < 0xe0 ? 2
                             : first >= 0xe0 && first < 0xf0 ? 3
                             : first >= 0xf0 && first < 0xf5 ? 4
                                                             : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (length < 3) return length;
  const unsigned char second = byte(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool no_character = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
  return overlong || no_character ? 0 : length;
}

std::string_view cut_utf8(std::string_view text, std::size_t bytes) noexcept {
  if (text.size() <= bytes) return text;
  // The character that the cut falls into begins at most three bytes before it.
  for (std::size_t back = 0; back < 4 && back <= bytes; ++back) {
    const std::size_t begin = bytes - back;
    const std::size_t length = utf8_length(text.substr(begin));
    if (length != 0) return text.substr(0, begin + length > bytes ? begin : bytes);
  }
  return text.substr(0, bytes);
}

std::string printable(std::string_view text) {
  if (std::all_of(text.begin(), text.end(), is_plain)) return std::string(text);
  std::string shown;
  for_each_character(
      text,
      [&](std::string_view character, std::uint32_t code) { acts(code) ? shown += '?' : shown += character; },
      [&] { shown += '?'; });
  return shown;
}

void append_json_string(std::string_view text, std::string& json) {
  json += '"';
  if (std::all_of(text.begin(), text.end(), [](char c) { return is_plain(c) && c != '"' && c != '\\'; })) {
    json += text;
  } else {
    for_each_character(
        text,
        [&](std::string_view character, std::uint32_t code) {
          if (acts(code)) return append_escape(code, json);
          if (code == '"' || code == '\\') json += '\\';
          json += character;
        },
        [&] { json += "\xef\xbf\xbd"; });
  }
  json += '"';
}

}  // namespace aiofiber::runtime
