// SPDX-License-Identifier: Apache-2.0
//
// /dev/urandom and /dev/random of simulated machines, with bytes from the seed.
//
// Such a file is an end of a socket pair that is filled again before each read. What a program writes into it
// is forgotten.
#pragma once

#include <cstddef>

#include "simulation/endpoint.h"

namespace aiofiber::testing::detail {

class Host;
class Wires;
class World;

class RandomFiles {
 public:
  RandomFiles(World& world, Wires& wires) noexcept : world_(world), wires_(wires) {}
  RandomFiles(const RandomFiles&) = delete;
  RandomFiles& operator=(const RandomFiles&) = delete;

  static bool is_name(const char* path) noexcept;
  bool in_use() const noexcept { return files_ > 0; }
  void removed() noexcept { --files_; }
  // As open(2).
  int open(Host& host, int flags);
  void before_read(Endpoint& file, int fd) noexcept;
  // Something was written.
  static void collect(Endpoint& file) noexcept;

 private:
  World& world_;
  Wires& wires_;
  std::size_t files_ = 0;
};

}  // namespace aiofiber::testing::detail
