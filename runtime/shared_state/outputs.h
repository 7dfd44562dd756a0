// SPDX-License-Identifier: Apache-2.0
//
// What the running task has given to the kernel in this step, of each call its end: so a line that is no
// whole one is noticed although its stream's buffer is empty again.
//
// Filled in a signal handler. Threads: the watched one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "shared_state/raw_bytes.h"

namespace aiofiber::runtime::shared_state {

struct Output {
  static constexpr std::size_t kMostOfTail = 128;
  int fd = -1;
  std::uintptr_t begin = 0;  // of the bytes
  std::size_t bytes = 0;
  std::size_t tail_bytes = 0;
  char tail[kMostOfTail] = {};  // the last of them
};

class Outputs {
 public:
  void clear() noexcept { count_ = 0; }
  // The kernel has taken these bytes.
  void add(int fd, std::uintptr_t begin, std::size_t bytes) noexcept {
    if (bytes == 0 || count_++ >= kMost) return;
    Output& output = outputs_[count_ - 1];
    output.fd = fd;
    output.begin = begin;
    output.bytes = bytes;
    output.tail_bytes = std::min(bytes, Output::kMostOfTail);
    copy_bytes(output.tail, reinterpret_cast<const char*>(begin + bytes - output.tail_bytes),
               output.tail_bytes);
  }
  // In their order. Empty if there were more than are kept.
  std::span<const Output> list() const noexcept {
    return {outputs_, count_ <= kMost ? count_ : std::size_t{0}};
  }

 private:
  static constexpr std::size_t kMost = 32;
  Output outputs_[kMost];
  std::size_t count_ = 0;
};

}  // namespace aiofiber::runtime::shared_state
