// SPDX-License-Identifier: Apache-2.0
//
// Reads whole files and keeps 16 of them. The aiofiber command is built with this file too.
#include "aiofiber/runtime/inspect/source_line.h"

#include <algorithm>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include "aiofiber/runtime/engine/syscall.h"
#include "inspect/regular_file.h"
#include "inspect/utf8.h"

namespace aiofiber::runtime {

namespace {

// The debug information chooses the files, so their number and size must be limited.
constexpr std::size_t kMaxFiles = 16;
constexpr std::size_t kMaxFileBytes = 4 << 20;
constexpr std::size_t kMaxLineBytes = 400;

// Reads at most the allowed size, even if the file has grown meanwhile.
std::string read_whole(const std::string& path) {
  const int fd = open_regular_file(path, kMaxFileBytes);
  if (fd < 0) return {};
  std::string text(kMaxFileBytes, '\0');
  text.resize(sys::read_all(fd, text.data(), text.size()));
  text.shrink_to_fit();
  sys::close(fd);
  return text;
}

std::string_view find_line(std::string_view text, int number) {
  for (; number > 1; --number) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return number == 1 ? text.substr(0, text.find('\n')) : std::string_view();
}

}  // namespace

std::string source_line(const std::string& file, int line) {
  static auto* files = new std::unordered_map<std::string, std::string>;  // their texts
  static auto* mutex = new std::mutex;
  const std::lock_guard lock(*mutex);
  if (files->size() >= kMaxFiles && !files->contains(file)) files->clear();
  const auto [entry, fresh] = files->try_emplace(file);
  if (fresh) entry->second = read_whole(file);
  const std::string_view text = find_line(entry->second, line);
  constexpr const char* kBlanks = " \t\r";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  std::string shown(text.substr(first, text.find_last_not_of(kBlanks) - first + 1));
  std::replace(shown.begin(), shown.end(), '\t', ' ');
  return printable(cut_utf8(shown, kMaxLineBytes));
}

}  // namespace aiofiber::runtime
