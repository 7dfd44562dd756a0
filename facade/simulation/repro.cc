// SPDX-License-Identifier: Apache-2.0
//
// Reads /proc/self/cmdline and AIOFIBER_SEED.
#include "simulation/repro.h"

#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "aiofiber/exceptions.h"
#include "aiofiber/runtime/engine/syscall.h"

namespace aiofiber::testing::detail {

namespace {
std::string quoted(std::string_view word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos) return std::string(word);
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}
}  // namespace

std::string repro_command(std::uint64_t seed) {
  constexpr std::size_t kMost = 4096;
  std::string arguments(kMost, '\0');
  arguments.resize(runtime::sys::read_file("/proc/self/cmdline", arguments.data(), kMost));
  std::string command = "AIOFIBER_SEED=" + std::to_string(seed);
  for (std::size_t at = 0; at < arguments.size();) {
    const std::size_t end = std::min(arguments.find('\0', at), arguments.size());
    command += " " + quoted(std::string_view(arguments).substr(at, end - at));
    at = end + 1;
  }
  return command;
}

std::optional<std::uint64_t> seed_of_environment() {
  const char* const text = ::secure_getenv("AIOFIBER_SEED");
  if (text == nullptr || *text == '\0') return std::nullopt;
  char* end = nullptr;
  errno = 0;
  const std::uint64_t seed = std::strtoull(text, &end, 0);
  if (errno != 0 || *end != '\0') throw ValueError("AIOFIBER_SEED is no number: '" + std::string(text) + "'");
  return seed;
}

}  // namespace aiofiber::testing::detail
