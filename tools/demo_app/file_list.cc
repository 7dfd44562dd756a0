// SPDX-License-Identifier: Apache-2.0
//
// A walk in the order of names, which stops when it has enough files.
#include "file_list.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>

namespace demo {

namespace fs = std::filesystem;

namespace {

void walk(const fs::path& directory, std::size_t count, std::size_t largest_bytes,
          std::vector<fs::path>& found) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
    entries.push_back(*it);
  std::sort(entries.begin(), entries.end());
  for (const fs::directory_entry& entry : entries) {
    if (found.size() >= count) return;
    const fs::file_status status = entry.symlink_status(error);
    if (error) continue;
    if (fs::is_directory(status)) {
      walk(entry.path(), count, largest_bytes, found);
    } else if (fs::is_regular_file(status)) {
      const std::uintmax_t size = entry.file_size(error);
      if (!error && size <= largest_bytes && ::access(entry.path().c_str(), R_OK) == 0)
        found.push_back(entry.path());
    }
  }
}

}  // namespace

std::vector<fs::path> pick_files(const fs::path& root, std::size_t count, std::size_t largest_bytes) {
  if (!fs::is_directory(root)) throw std::runtime_error(root.string() + " is not a directory");
  std::vector<fs::path> found;
  walk(root, count, largest_bytes, found);
  if (found.size() < count) {
    throw std::runtime_error("below " + root.string() + " are only " + std::to_string(found.size()) +
                             " readable files of at most " + std::to_string(largest_bytes / 1024) + " KiB, " +
                             std::to_string(count) + " are wanted");
  }
  return found;
}

std::string url_path(const fs::path& root, const fs::path& file) {
  constexpr std::string_view kUnreserved =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~/";
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string encoded = "/";
  for (const char c : file.lexically_relative(root).string()) {
    if (kUnreserved.find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return encoded;
}

std::string read_file(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (!stream) throw std::runtime_error("cannot read " + file.string());
  return content;
}

}  // namespace demo
