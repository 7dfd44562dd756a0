// SPDX-License-Identifier: Apache-2.0
//
// One small function for each table and operation, so that each knows which function it replaced without
// reading the FILE.
#include "hooks/stdio/stdio_slots.h"

#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "hooks/core/act.h"
#include "hooks/core/task_alarm.h"
#include "hooks/stdio/stdio_occupant.h"
#include "hooks/stdio/stdio_switch.h"

namespace aiofiber::hooks {

namespace {

using std::FILE;

constinit void* originals[kMostStdioTables][kStdioSlots] = {};

// Every operation except reading and writing: calls libc's, once no task is suspended inside. `kRefused` is
// libc's return value for an error.
template <unsigned kTable, StdioSlot kSlot, auto kRefused, class R, class... A>
struct Guarded {
  static R call(FILE* file, A... arguments) {
    if (stdio_occupants_exist() && !enter_stdio(file)) return static_cast<R>(kRefused);
    void* const original = originals[kTable][static_cast<unsigned>(kSlot)];
    return reinterpret_cast<R (*)(FILE*, A...)>(original)(file, arguments...);
  }
};

// The shared streams never suspend: two tasks could wait for each other.
bool is_shared(const FILE* file) noexcept { return file == stdin || file == stdout || file == stderr; }

// The current task if it may be suspended in this FILE; else null.
runtime::Fiber* suspendable(const FILE* file) noexcept {
  runtime::Fiber* const fiber = act();
  return fiber == nullptr || is_shared(file) || stdio_is_ending() ? nullptr : fiber;
}

template <unsigned kTable>
ssize_t read_slot(FILE* file, void* buffer, ssize_t length) {
  runtime::Fiber* const fiber = suspendable(file);
  if (AIOFIBER_LIKELY(fiber == nullptr)) {
    void* const original = originals[kTable][static_cast<unsigned>(StdioSlot::kRead)];
    return reinterpret_cast<ssize_t (*)(FILE*, void*, ssize_t)>(original)(file, buffer, length);
  }
  if (is_occupied(file)) {  // libc came here from a function that is no operation: too late to wait
    errno = EBUSY;
    return -1;
  }
  const auto read_once = [=] {
    const StdioOccupant occupant(file, fiber);
    const AlarmLater later(*fiber);
    return ::read(file->_fileno, buffer, static_cast<std::size_t>(length));
  };
  for (;;) {
    const ssize_t n = read_once();
    if (n >= 0 || errno != EINTR || !run_alarm_handler(AfterAlarm::kMayGoOn)) return n;
  }
}

// Writes until an error.
std::size_t write_some(FILE* file, runtime::Fiber* fiber, const char* data, std::size_t length) {
  const StdioOccupant occupant(file, fiber);
  const AlarmLater later(*fiber);
  std::size_t written = 0;
  while (written < length) {
    const ssize_t n = ::write(file->_fileno, data + written, length - written);
    if (n < 0) break;
    written += static_cast<std::size_t>(n);
  }
  return written;
}

// Writes everything, like libc's function: a short count is an error.
ssize_t write_all(FILE* file, runtime::Fiber* fiber, const char* data, std::size_t length) {
  std::size_t written = 0;
  for (;;) {
    written += write_some(file, fiber, data + written, length - written);
    if (written == length || errno != EINTR || !run_alarm_handler(AfterAlarm::kMayGoOn)) break;
  }
  if (written < length) file->_flags |= _IO_ERR_SEEN;
  if (file->_offset >= 0) file->_offset += static_cast<off64_t>(written);
  return static_cast<ssize_t>(written);
}

template <unsigned kTable>
ssize_t write_slot(FILE* file, const void* data, ssize_t length) {
  runtime::Fiber* const fiber = suspendable(file);
  if (AIOFIBER_LIKELY(fiber == nullptr)) {
    void* const original = originals[kTable][static_cast<unsigned>(StdioSlot::kWrite)];
    return reinterpret_cast<ssize_t (*)(FILE*, const void*, ssize_t)>(original)(file, data, length);
  }
  if (is_occupied(file)) {
    errno = EBUSY;
    return 0;
  }
  return write_all(file, fiber, static_cast<const char*>(data), static_cast<std::size_t>(length));
}

template <unsigned kTable>
void fill(void* (&slots)[kStdioSlots]) noexcept {
  const auto set = [&](StdioSlot slot, auto* function) {
    slots[static_cast<unsigned>(slot)] = reinterpret_cast<void*>(function);
  };
  using enum StdioSlot;
  set(kOverflow, &Guarded<kTable, kOverflow, EOF, int, int>::call);
  set(kUnderflow, &Guarded<kTable, kUnderflow, EOF, int>::call);
  set(kUflow, &Guarded<kTable, kUflow, EOF, int>::call);
  set(kPbackfail, &Guarded<kTable, kPbackfail, EOF, int, int>::call);
  set(kXsputn, &Guarded<kTable, kXsputn, 0, std::size_t, const void*, std::size_t>::call);
  set(kXsgetn, &Guarded<kTable, kXsgetn, 0, std::size_t, void*, std::size_t>::call);
  set(kSeekoff, &Guarded<kTable, kSeekoff, -1, off64_t, off64_t, int, int>::call);
  set(kSeekpos, &Guarded<kTable, kSeekpos, -1, off64_t, off64_t, int>::call);
  set(kSetbuf, &Guarded<kTable, kSetbuf, nullptr, FILE*, char*, ssize_t>::call);
  set(kSync, &Guarded<kTable, kSync, EOF, int>::call);
  set(kRead, &read_slot<kTable>);
  set(kWrite, &write_slot<kTable>);
}

template <unsigned... kTables>
void fill_all(void* (*replacement)[kStdioSlots], std::integer_sequence<unsigned, kTables...>) noexcept {
  (fill<kTables>(replacement[kTables]), ...);
}

}  // namespace

void prepare_stdio_slots(const StdioTables& tables, void* (*replacement)[kStdioSlots]) noexcept {
  for (unsigned table = 0; table < tables.count(); ++table) {
    for (unsigned slot = 0; slot < kStdioSlots; ++slot) originals[table][slot] = tables.get(table, slot);
  }
  fill_all(replacement, std::make_integer_sequence<unsigned, kMostStdioTables>());
}

void* const (*original_stdio_slots() noexcept)[kStdioSlots] { return originals; }

}  // namespace aiofiber::hooks
