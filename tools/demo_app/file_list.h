// SPDX-License-Identifier: Apache-2.0
//
// The files that the demo fetches: real files below a directory, the same ones each time.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace demo {

// The first `count` readable regular files below `root` in the order of their names, none larger than
// `largest_bytes`, symbolic links not followed. Throws std::runtime_error if there are fewer.
std::vector<std::filesystem::path> pick_files(const std::filesystem::path& root, std::size_t count,
                                              std::size_t largest_bytes);

// The path of a file below `root` as a URL's path, percent-encoded.
std::string url_path(const std::filesystem::path& root, const std::filesystem::path& file);

// The whole file. Throws std::runtime_error.
std::string read_file(const std::filesystem::path& file);

}  // namespace demo
