// SPDX-License-Identifier: Apache-2.0
//
// A handler of std::terminate() for an uncaught KeyboardInterrupt. It kills the process by SIGINT, as the
// Python interpreter does. Any other exception goes to the previous handler. Invariant: installed once, never
// removed. The program's own handler, set before or after, still handles everything else.
#include "core/uncaught_interrupt.h"

#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <exception>

#include "aiofiber/exceptions.h"

namespace aiofiber::detail {

namespace {

constinit std::atomic<std::terminate_handler> before{nullptr};

bool is_interrupt() noexcept {
  const std::exception_ptr exception = std::current_exception();
  if (exception == nullptr) return false;
  try {
    std::rethrow_exception(exception);
  } catch (const KeyboardInterrupt&) {
    return true;
  } catch (...) {
    return false;
  }
}

[[noreturn]] void terminate() {
  if (is_interrupt()) {
    struct sigaction by_default {};
    by_default.sa_handler = SIG_DFL;
    ::sigaction(SIGINT, &by_default, nullptr);
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    ::pthread_sigmask(SIG_UNBLOCK, &interrupt, nullptr);
    ::raise(SIGINT);
  }
  if (const std::terminate_handler handler = before.load(std::memory_order_acquire)) handler();
  std::abort();
}

}  // namespace

void end_by_signal_if_interrupted() noexcept {
  static constinit std::atomic<bool> installed{false};
  if (installed.exchange(true, std::memory_order_relaxed)) return;
  before.store(std::get_terminate(), std::memory_order_release);
  std::set_terminate(&terminate);
}

}  // namespace aiofiber::detail
