// SPDX-License-Identifier: Apache-2.0
//
// Which of many futures are the same. Here, so that no program compiles a sort for it.
#include "aiofiber/range.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace aiofiber::detail {

std::vector<char> first_ones(const std::vector<const void*>& addresses) {
  std::vector<const void*> seen = addresses;
  std::sort(seen.begin(), seen.end(), std::less<>());
  if (std::adjacent_find(seen.begin(), seen.end()) == seen.end()) return {};
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  std::vector<char> taken(seen.size());
  std::vector<char> first;
  first.reserve(addresses.size());
  for (const void* const address : addresses) {
    const auto place = std::lower_bound(seen.begin(), seen.end(), address, std::less<>());
    first.push_back(std::exchange(taken[static_cast<std::size_t>(place - seen.begin())], 1) == 0 ? 1 : 0);
  }
  return first;
}

}  // namespace aiofiber::detail
