// SPDX-License-Identifier: Apache-2.0
//
// A server that does not answer, while this lives: all threads of the pool for look-ups wait.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <iterator>
#include <thread>

#include "aiofiber/runtime/engine/offload.h"

namespace aiofiber::hooks_test {

class SilentServer {
 public:
  SilentServer() {
    for (Wait& wait : waits_) {
      wait.server = this;
      runtime::OffloadPool::io().submit(wait);
    }
  }
  ~SilentServer() {
    answers_ = true;
    answers_.notify_all();
    while (ended_ < std::ssize(waits_)) std::this_thread::yield();
  }
  SilentServer(const SilentServer&) = delete;
  SilentServer& operator=(const SilentServer&) = delete;

 private:
  struct Wait final : runtime::OffloadPool::Work {
    void run() noexcept override { server->answers_.wait(false); }
    void done() noexcept override { ++server->ended_; }
    SilentServer* server = nullptr;
  };
  std::atomic<bool> answers_ = false;
  std::atomic<std::ptrdiff_t> ended_ = 0;
  std::array<Wait, 64> waits_;  // as many as the pool has threads
};

}  // namespace aiofiber::hooks_test
