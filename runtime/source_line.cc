// SPDX-License-Identifier: Apache-2.0
//
// Files are read whole and kept, 64 of them. The aiofiber command is built with this file too.
#include "aiofiber/runtime/source_line.h"

#include <fstream>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace aiofiber::runtime {

std::string source_line(const std::string& file, int line) {
  constexpr std::size_t kMaxFiles = 64;
  static auto* files = new std::unordered_map<std::string, std::vector<std::string>>;
  static auto* mutex = new std::mutex;
  const std::lock_guard lock(*mutex);
  if (files->size() >= kMaxFiles && !files->contains(file)) files->clear();
  const auto [entry, fresh] = files->try_emplace(file);
  if (fresh) {
    std::ifstream in(file);
    for (std::string text; std::getline(in, text);) entry->second.push_back(text);
  }
  if (line < 1 || static_cast<std::size_t>(line) > entry->second.size()) return {};
  const std::string& text = entry->second[static_cast<std::size_t>(line) - 1];
  constexpr const char* kBlanks = " \t\r";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

}  // namespace aiofiber::runtime
