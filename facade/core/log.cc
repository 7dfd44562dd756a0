// SPDX-License-Identifier: Apache-2.0
//
// The process-wide sink, behind a mutex: reports are rare.
#include "aiofiber/log.h"

#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

namespace aiofiber {

namespace {

using Sink = std::function<void(LogLevel, std::string_view)>;

std::mutex& sink_mutex() {
  static auto* mutex = new std::mutex;  // reports may come from destructors after main()
  return *mutex;
}
std::shared_ptr<const Sink>& sink() {
  static auto* current = new std::shared_ptr<const Sink>;
  return *current;
}

}  // namespace

void set_log_sink(Sink new_sink) {
  auto replacement = new_sink ? std::make_shared<const Sink>(std::move(new_sink)) : nullptr;
  const std::lock_guard lock(sink_mutex());
  sink().swap(replacement);
}

namespace detail {

void log(LogLevel level, std::string_view text) noexcept {
  try {
    std::shared_ptr<const Sink> current;
    {
      const std::lock_guard lock(sink_mutex());
      current = sink();
    }
    if (current != nullptr) {
      (*current)(level, text);
    } else if (level >= LogLevel::WARNING) {
      std::string line(text);
      line += '\n';
      std::fwrite(line.data(), 1, line.size(), stderr);
    }
  } catch (...) {
    // A failed report must not become an error of the program.
  }
}

}  // namespace detail

}  // namespace aiofiber
