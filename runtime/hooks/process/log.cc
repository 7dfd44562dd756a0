// SPDX-License-Identifier: Apache-2.0
//
// syslog: libc sends to the system's log internally, and blocks while that is slow. The task makes the text
// (%m is the task's errno), and the offload pool sends it.
#include <syslog.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "hooks/core/act.h"
#include "hooks/core/fortify.h"
#include "hooks/core/on_pool.h"
#include "hooks/core/real.h"

namespace aiofiber::hooks {

namespace {

void send_text(int priority, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  real::vsyslog(priority, format, arguments);
  va_end(arguments);
}

// A cancelled task still logs, but blocks the thread: no message is lost.
void log_formatted(int priority, const char* format, va_list arguments) {
  const int saved_errno = errno;
  char* text = nullptr;
  if (::vasprintf(&text, format, arguments) < 0) return;
  const bool sent = on_pool(false, [&] {
    send_text(priority, "%s", text);
    return true;
  });
  if (!sent) send_text(priority, "%s", text);
  std::free(text);
  errno = saved_errno;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

void vsyslog(int priority, const char* format, va_list arguments) {
  if (!acts()) return real::vsyslog(priority, format, arguments);
  log_formatted(priority, format, arguments);
}

void syslog(int priority, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsyslog(priority, format, arguments);
  va_end(arguments);
}

void __vsyslog_chk(int priority, int, const char* format, va_list arguments) {
  vsyslog(priority, format, arguments);
}

void __syslog_chk(int priority, int, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsyslog(priority, format, arguments);
  va_end(arguments);
}

}  // extern "C"
