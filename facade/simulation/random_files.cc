// SPDX-License-Identifier: Apache-2.0
//
// Random bytes go into a socket pair.
#include "simulation/random_files.h"

#include <fcntl.h>

#include <string_view>

#include "simulation/host.h"
#include "simulation/real_calls.h"
#include "simulation/wires.h"
#include "simulation/world.h"

namespace aiofiber::testing::detail {

namespace {
// What one read can get. Linux gives more at once, but nobody relies on it.
constexpr std::size_t kReady = 131'072;
constexpr std::size_t kPiece = 32'768;
}  // namespace

bool RandomFiles::is_name(const char* path) noexcept {
  const std::string_view name(path);
  return name == "/dev/urandom" || name == "/dev/random";
}

int RandomFiles::open(Host& host, int flags) {
  const int kept = ((flags & O_NONBLOCK) != 0 ? int{SOCK_NONBLOCK} : 0) |
                   ((flags & O_CLOEXEC) != 0 ? int{SOCK_CLOEXEC} : 0);
  Endpoint* const file = wires_.make(host, Endpoint::Kind::kRandom, AF_UNIX, kept);
  if (file == nullptr) return -1;
  ++files_;
  const int room = 4 * static_cast<int>(kReady);
  real::set_option(file->wire, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  wires_.watch(*file, EPOLLIN);
  before_read(*file, file->fd);
  return file->fd;
}

void RandomFiles::before_read(Endpoint& file, int fd) noexcept {
  std::size_t left = real::pending_bytes(fd);
  char bytes[kPiece];
  while (left + kPiece <= kReady) {
    world_.fill_from_seed(bytes, sizeof bytes);
    if (real::send(file.wire, bytes, sizeof bytes) <= 0) return;
    left += kPiece;
  }
}

void RandomFiles::collect(Endpoint& file) noexcept {
  char bytes[4096];
  while (real::receive(file.wire, bytes, sizeof bytes) > 0) {
  }
}

}  // namespace aiofiber::testing::detail
