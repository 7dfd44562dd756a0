// SPDX-License-Identifier: Apache-2.0
//
// A program of the build: writes the man pages and the completions into a folder. See README.md.
#include <cstdio>
#include <exception>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

#include "completions.h"
#include "manual.h"

namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) throw std::runtime_error("cannot read " + path);
  return text.str();
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path);
}

void write_all(const std::string& pages, const std::string& version, const std::string& date,
               const std::string& folder) {
  using namespace aiofiber::tool;
  for (const char* page : {"aiofiber.1", "aiofiber.7"})
    write_file(folder + '/' + page, manual(read_file(pages + '/' + page + ".in"), version, date));
  write_file(folder + "/aiofiber.bash", bash_completion());
  write_file(folder + "/_aiofiber", zsh_completion());
  write_file(folder + "/aiofiber.fish", fish_completion());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: help_files FOLDER_OF_PAGES VERSION DATE FOLDER_TO_WRITE\n", stderr);
    return 2;
  }
  try {
    write_all(argv[1], argv[2], argv[3], argv[4]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "help_files: %s\n", error.what());
    return 1;
  }
}
