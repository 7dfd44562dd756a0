// SPDX-License-Identifier: Apache-2.0
//
// Functions of libc that read or write the program's memory and that the compiler does not instrument:
// copies, strings, formatting into a buffer.
//
// The linker's --wrap sends the calls of the program's objects here (wrapped_calls.list), and only those:
// what libc and other libraries do among themselves is not the program's. Each wrapper notes what libc is
// going to read, calls libc, and notes what was written. It relies on nothing but the function's contract.
#include <arpa/inet.h>
#include <ctype.h>
#include <printf.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <algorithm>

#include "shared_state/instrumented/caller.h"

// No declarations: the linker makes the names.
#pragma GCC diagnostic ignored "-Wmissing-declarations"

// libc's own. In this file, too, the plain names are those of the wrappers.
extern "C" size_t __real_strlen(const char* text);
extern "C" char* __real_strchr(const char* text, int character);

namespace {

namespace shared_state = aiofiber::runtime::shared_state;
using shared_state::Caller;

bool noted() noexcept { return shared_state::accesses_are_noted(); }

// A comparison reads as far as the texts are equal, and one more.
void compares(const Caller& caller, const char* a, const char* b, size_t most, bool lower) noexcept {
  size_t equal = 0;
  const auto same = [&] {
    return lower ? tolower(static_cast<unsigned char>(a[equal])) ==
                       tolower(static_cast<unsigned char>(b[equal]))
                 : a[equal] == b[equal];
  };
  while (equal < most && same() && a[equal] != '\0') ++equal;
  caller.reads(a, std::min(equal + 1, most));
  caller.reads(b, std::min(equal + 1, most));
}

// The texts among what printf() is given.
void reads_arguments(const Caller& caller, const char* format, va_list arguments) noexcept {
  // With a precision a text need not end.
  if (__real_strchr(format, '.') != nullptr) return;
  constexpr size_t kMost = 32;
  int types[kMost];
  const size_t count = std::min(parse_printf_format(format, kMost, types), kMost);
  va_list values;
  va_copy(values, arguments);
  for (size_t i = 0; i < count; ++i) {
    if (types[i] == PA_STRING) {
      const char* const text = va_arg(values, const char*);
      if (text != nullptr) caller.reads(text, __real_strlen(text) + 1);
    } else if ((types[i] & PA_FLAG_PTR) != 0 || types[i] == PA_POINTER || types[i] == PA_WSTRING) {
      static_cast<void>(va_arg(values, void*));
    } else if (types[i] == PA_DOUBLE || types[i] == PA_FLOAT) {
      static_cast<void>(va_arg(values, double));
    } else if (types[i] == (PA_DOUBLE | PA_FLAG_LONG_DOUBLE)) {
      static_cast<void>(va_arg(values, long double));
    } else if ((types[i] & (PA_FLAG_LONG | PA_FLAG_LONG_LONG)) != 0) {
      static_cast<void>(va_arg(values, long long));
    } else {
      static_cast<void>(va_arg(values, int));
    }
  }
  va_end(values);
}

}  // namespace

#define AIOFIBER_WRAPPED(type, name, ...) \
  type __real_##name(__VA_ARGS__);        \
  type __wrap_##name(__VA_ARGS__)

extern "C" {

// ---- bytes

AIOFIBER_WRAPPED(void*, memcpy, void* to, const void* from, size_t bytes) {
  if (noted()) {
    const Caller caller = AIOFIBER_CALLER;
    caller.reads(from, bytes);
    caller.writes(to, bytes);
  }
  return __real_memcpy(to, from, bytes);
}
AIOFIBER_WRAPPED(void*, memmove, void* to, const void* from, size_t bytes) {
  if (noted()) {
    const Caller caller = AIOFIBER_CALLER;
    caller.reads(from, bytes);
    caller.writes(to, bytes);
  }
  return __real_memmove(to, from, bytes);
}
AIOFIBER_WRAPPED(void*, memset, void* to, int value, size_t bytes) {
  if (noted()) AIOFIBER_CALLER.writes(to, bytes);
  return __real_memset(to, value, bytes);
}
AIOFIBER_WRAPPED(void*, __memcpy_chk, void* to, const void* from, size_t bytes, size_t room) {
  if (noted()) {
    const Caller caller = AIOFIBER_CALLER;
    caller.reads(from, bytes);
    caller.writes(to, std::min(bytes, room));
  }
  return __real___memcpy_chk(to, from, bytes, room);
}
AIOFIBER_WRAPPED(void*, __memmove_chk, void* to, const void* from, size_t bytes, size_t room) {
  if (noted()) {
    const Caller caller = AIOFIBER_CALLER;
    caller.reads(from, bytes);
    caller.writes(to, std::min(bytes, room));
  }
  return __real___memmove_chk(to, from, bytes, room);
}
AIOFIBER_WRAPPED(void*, __memset_chk, void* to, int value, size_t bytes, size_t room) {
  if (noted()) AIOFIBER_CALLER.writes(to, std::min(bytes, room));
  return __real___memset_chk(to, value, bytes, room);
}
AIOFIBER_WRAPPED(int, memcmp, const void* a, const void* b, size_t bytes) {
  if (noted()) {
    const Caller caller = AIOFIBER_CALLER;
    caller.reads(a, bytes);
    caller.reads(b, bytes);
  }
  return __real_memcmp(a, b, bytes);
}

// ---- strings

AIOFIBER_WRAPPED(size_t, strlen, const char* text) {
  const size_t length = __real_strlen(text);
  if (noted()) AIOFIBER_CALLER.reads(text, length + 1);
  return length;
}
AIOFIBER_WRAPPED(char*, strcpy, char* to, const char* from) {
  if (noted()) {
    const Caller caller = AIOFIBER_CALLER;
    const size_t bytes = __real_strlen(from) + 1;
    caller.reads(from, bytes);
    caller.writes(to, bytes);
  }
  return __real_strcpy(to, from);
}
AIOFIBER_WRAPPED(char*, strncpy, char* to, const char* from, size_t room) {
  if (noted()) {
    const Caller caller = AIOFIBER_CALLER;
    caller.reads(from, strnlen(from, room));
    caller.writes(to, room);
  }
  return __real_strncpy(to, from, room);
}
AIOFIBER_WRAPPED(char*, stpcpy, char* to, const char* from) {
  if (noted()) {
    const Caller caller = AIOFIBER_CALLER;
    const size_t bytes = __real_strlen(from) + 1;
    caller.reads(from, bytes);
    caller.writes(to, bytes);
  }
  return __real_stpcpy(to, from);
}
AIOFIBER_WRAPPED(char*, strcat, char* to, const char* from) {
  if (noted()) {
    const Caller caller = AIOFIBER_CALLER;
    const size_t before = __real_strlen(to), bytes = __real_strlen(from) + 1;
    caller.reads(to, before + 1);
    caller.reads(from, bytes);
    caller.writes(to + before, bytes);
  }
  return __real_strcat(to, from);
}
AIOFIBER_WRAPPED(char*, strncat, char* to, const char* from, size_t room) {
  if (noted()) {
    const Caller caller = AIOFIBER_CALLER;
    const size_t before = __real_strlen(to), bytes = strnlen(from, room);
    caller.reads(to, before + 1);
    caller.reads(from, bytes);
    caller.writes(to + before, bytes + 1);
  }
  return __real_strncat(to, from, room);
}
AIOFIBER_WRAPPED(char*, __strcpy_chk, char* to, const char* from, size_t room) {
  if (noted()) {
    const Caller caller = AIOFIBER_CALLER;
    const size_t bytes = __real_strlen(from) + 1;
    caller.reads(from, bytes);
    caller.writes(to, std::min(bytes, room));
  }
  return __real___strcpy_chk(to, from, room);
}
AIOFIBER_WRAPPED(char*, __strncpy_chk, char* to, const char* from, size_t bytes, size_t room) {
  if (noted()) {
    const Caller caller = AIOFIBER_CALLER;
    caller.reads(from, strnlen(from, bytes));
    caller.writes(to, std::min(bytes, room));
  }
  return __real___strncpy_chk(to, from, bytes, room);
}
AIOFIBER_WRAPPED(char*, __strcat_chk, char* to, const char* from, size_t room) {
  if (noted()) {
    const Caller caller = AIOFIBER_CALLER;
    const size_t before = __real_strlen(to), bytes = __real_strlen(from) + 1;
    caller.reads(to, before + 1);
    caller.reads(from, bytes);
    caller.writes(to + before, std::min(bytes, room - std::min(room, before)));
  }
  return __real___strcat_chk(to, from, room);
}
AIOFIBER_WRAPPED(char*, strchr, const char* text, int character) {
  char* const found = __real_strchr(text, character);
  if (noted())
    AIOFIBER_CALLER.reads(text,
                          found != nullptr ? static_cast<size_t>(found - text) + 1 : __real_strlen(text) + 1);
  return found;
}
AIOFIBER_WRAPPED(char*, strrchr, const char* text, int character) {
  if (noted()) AIOFIBER_CALLER.reads(text, __real_strlen(text) + 1);
  return __real_strrchr(text, character);
}
AIOFIBER_WRAPPED(char*, strstr, const char* text, const char* part) {
  if (noted()) {
    const Caller caller = AIOFIBER_CALLER;
    caller.reads(text, __real_strlen(text) + 1);
    caller.reads(part, __real_strlen(part) + 1);
  }
  return __real_strstr(text, part);
}
AIOFIBER_WRAPPED(char*, strdup, const char* text) {
  if (noted()) AIOFIBER_CALLER.reads(text, __real_strlen(text) + 1);
  return __real_strdup(text);
}

#define AIOFIBER_COMPARISON(name, lower)                           \
  AIOFIBER_WRAPPED(int, name, const char* a, const char* b) {      \
    if (noted()) compares(AIOFIBER_CALLER, a, b, SIZE_MAX, lower); \
    return __real_##name(a, b);                                    \
  }
#define AIOFIBER_BOUNDED_COMPARISON(name, lower)                           \
  AIOFIBER_WRAPPED(int, name, const char* a, const char* b, size_t most) { \
    if (noted()) compares(AIOFIBER_CALLER, a, b, most, lower);             \
    return __real_##name(a, b, most);                                      \
  }
AIOFIBER_COMPARISON(strcmp, false)
AIOFIBER_COMPARISON(strcasecmp, true)
AIOFIBER_BOUNDED_COMPARISON(strncmp, false)
AIOFIBER_BOUNDED_COMPARISON(strncasecmp, true)

// ---- what libc keeps in variables of its own: here they are the program's, and so they are searched

char* place_of_strtok = nullptr;
struct tm result_of_localtime {};  // and of gmtime(), as in libc
char result_of_ctime[64];          // and of asctime()
char result_of_inet_ntoa[INET_ADDRSTRLEN];

AIOFIBER_WRAPPED(char*, strtok, char* text, const char* separators) {
  const Caller caller = AIOFIBER_CALLER;
  if (text == nullptr) caller.reads(&place_of_strtok, sizeof place_of_strtok);
  caller.writes(&place_of_strtok, sizeof place_of_strtok);
  return strtok_r(text, separators, &place_of_strtok);
}
AIOFIBER_WRAPPED(struct tm*, localtime, const time_t* time) {
  tzset();  // as localtime() does, and localtime_r() need not
  AIOFIBER_CALLER.writes(&result_of_localtime, sizeof result_of_localtime);
  return localtime_r(time, &result_of_localtime);
}
AIOFIBER_WRAPPED(struct tm*, gmtime, const time_t* time) {
  AIOFIBER_CALLER.writes(&result_of_localtime, sizeof result_of_localtime);
  return gmtime_r(time, &result_of_localtime);
}
AIOFIBER_WRAPPED(char*, asctime, const struct tm* time) {
  AIOFIBER_CALLER.writes(result_of_ctime, sizeof result_of_ctime);
  return asctime_r(time, result_of_ctime);
}
AIOFIBER_WRAPPED(char*, ctime, const time_t* time) {
  const Caller caller = AIOFIBER_CALLER;
  tzset();
  caller.writes(&result_of_localtime, sizeof result_of_localtime);
  caller.writes(result_of_ctime, sizeof result_of_ctime);
  const struct tm* const local = localtime_r(time, &result_of_localtime);
  return local == nullptr ? nullptr : asctime_r(local, result_of_ctime);
}
AIOFIBER_WRAPPED(char*, inet_ntoa, struct in_addr address) {
  AIOFIBER_CALLER.writes(result_of_inet_ntoa, sizeof result_of_inet_ntoa);
  inet_ntop(AF_INET, &address, result_of_inet_ntoa, sizeof result_of_inet_ntoa);
  return result_of_inet_ntoa;
}

// ---- numbers in texts

#define AIOFIBER_NUMBER(type, name)                                                  \
  AIOFIBER_WRAPPED(type, name, const char* text, char** end, int base) {             \
    char* after = nullptr;                                                           \
    const type number = __real_##name(text, &after, base);                           \
    if (noted()) AIOFIBER_CALLER.reads(text, static_cast<size_t>(after - text) + 1); \
    if (end != nullptr) *end = after;                                                \
    return number;                                                                   \
  }
AIOFIBER_NUMBER(long, strtol)
AIOFIBER_NUMBER(unsigned long, strtoul)
AIOFIBER_NUMBER(long long, strtoll)
AIOFIBER_NUMBER(unsigned long long, strtoull)
AIOFIBER_WRAPPED(double, strtod, const char* text, char** end) {
  char* after = nullptr;
  const double number = __real_strtod(text, &after);
  if (noted()) AIOFIBER_CALLER.reads(text, static_cast<size_t>(after - text) + 1);
  if (end != nullptr) *end = after;
  return number;
}
#define AIOFIBER_DECIMAL(type, name)                                      \
  AIOFIBER_WRAPPED(type, name, const char* text) {                        \
    if (noted()) {                                                        \
      char* after = nullptr;                                              \
      __real_strtod(text, &after);                                        \
      AIOFIBER_CALLER.reads(text, static_cast<size_t>(after - text) + 1); \
    }                                                                     \
    return __real_##name(text);                                           \
  }
AIOFIBER_DECIMAL(int, atoi)
AIOFIBER_DECIMAL(long, atol)
AIOFIBER_DECIMAL(double, atof)

// ---- text into a buffer

int __real_vsnprintf(char* to, size_t room, const char* format, va_list arguments);
int __real_vsprintf(char* to, const char* format, va_list arguments);
int __real___vsnprintf_chk(char* to, size_t room, int flag, size_t size, const char* format,
                           va_list arguments);
int __real___vsprintf_chk(char* to, int flag, size_t size, const char* format, va_list arguments);

}  // extern "C"

namespace {

// A write is noted before it happens, because the old value is kept. So the text's length is asked first.
template <class Format>
int formatted(const Caller& caller, char* to, size_t room, const char* words, va_list arguments,
              Format format) noexcept {
  if (noted()) reads_arguments(caller, words, arguments);
  if (noted() && to != nullptr && room > 0) {
    va_list again;
    va_copy(again, arguments);
    char nowhere[1];
    const int length = format(nowhere, size_t{0}, again);
    va_end(again);
    if (length >= 0) caller.writes(to, std::min(static_cast<size_t>(length) + 1, room));
  }
  return format(to, room, arguments);
}

}  // namespace

extern "C" {

int __wrap_vsnprintf(char* to, size_t room, const char* format, va_list arguments) {
  return formatted(AIOFIBER_CALLER, to, room, format, arguments, [&](char* at, size_t bytes, va_list words) {
    return __real_vsnprintf(at, bytes, format, words);
  });
}
int __wrap___vsnprintf_chk(char* to, size_t room, int flag, size_t size, const char* format,
                           va_list arguments) {
  return formatted(AIOFIBER_CALLER, to, room, format, arguments, [&](char* at, size_t bytes, va_list words) {
    return at == to ? __real___vsnprintf_chk(at, bytes, flag, size, format, words)
                    : __real_vsnprintf(at, bytes, format, words);
  });
}
int __wrap_vsprintf(char* to, const char* format, va_list arguments) {
  return formatted(
      AIOFIBER_CALLER, to, SIZE_MAX, format, arguments, [&](char* at, size_t bytes, va_list words) {
        return at == to ? __real_vsprintf(at, format, words) : __real_vsnprintf(at, bytes, format, words);
      });
}
int __wrap___vsprintf_chk(char* to, int flag, size_t size, const char* format, va_list arguments) {
  return formatted(AIOFIBER_CALLER, to, size, format, arguments, [&](char* at, size_t bytes, va_list words) {
    return at == to ? __real___vsprintf_chk(at, flag, size, format, words)
                    : __real_vsnprintf(at, bytes, format, words);
  });
}
#define AIOFIBER_WITH_ARGUMENTS(call)    \
  va_list arguments;                     \
  va_start(arguments, format);           \
  const Caller caller = AIOFIBER_CALLER; \
  const int length = call;               \
  va_end(arguments);                     \
  return length
int __wrap_snprintf(char* to, size_t room, const char* format, ...) {
  AIOFIBER_WITH_ARGUMENTS(formatted(
      caller, to, room, format, arguments,
      [&](char* at, size_t bytes, va_list words) { return __real_vsnprintf(at, bytes, format, words); }));
}
int __wrap___snprintf_chk(char* to, size_t room, int flag, size_t size, const char* format, ...) {
  AIOFIBER_WITH_ARGUMENTS(
      formatted(caller, to, room, format, arguments, [&](char* at, size_t bytes, va_list words) {
        return at == to ? __real___vsnprintf_chk(at, bytes, flag, size, format, words)
                        : __real_vsnprintf(at, bytes, format, words);
      }));
}
int __wrap_sprintf(char* to, const char* format, ...) {
  AIOFIBER_WITH_ARGUMENTS(
      formatted(caller, to, SIZE_MAX, format, arguments, [&](char* at, size_t bytes, va_list words) {
        return at == to ? __real_vsprintf(at, format, words) : __real_vsnprintf(at, bytes, format, words);
      }));
}
int __wrap___sprintf_chk(char* to, int flag, size_t size, const char* format, ...) {
  AIOFIBER_WITH_ARGUMENTS(
      formatted(caller, to, size, format, arguments, [&](char* at, size_t bytes, va_list words) {
        return at == to ? __real___vsprintf_chk(at, flag, size, format, words)
                        : __real_vsnprintf(at, bytes, format, words);
      }));
}

// ---- output: read by the stream

int __real_vprintf(const char* format, va_list arguments);
int __real_vfprintf(FILE* file, const char* format, va_list arguments);
int __real_vdprintf(int fd, const char* format, va_list arguments);
int __real___vprintf_chk(int flag, const char* format, va_list arguments);
int __real___vfprintf_chk(FILE* file, int flag, const char* format, va_list arguments);
int __real___vdprintf_chk(int fd, int flag, const char* format, va_list arguments);
// The name, its parameters before the format, and the call of the function that takes a list.
#define AIOFIBER_PRINTER(name, parameters, call)                                       \
  int __wrap_##name(AIOFIBER_LIST parameters const char* format, ...) {                \
    va_list arguments;                                                                 \
    va_start(arguments, format);                                                       \
    if (noted()) reads_arguments(AIOFIBER_CALLER, format, arguments);                  \
    const int length = call;                                                           \
    va_end(arguments);                                                                 \
    return length;                                                                     \
  }                                                                                    \
  int __wrap_v##name(AIOFIBER_LIST parameters const char* format, va_list arguments) { \
    if (noted()) reads_arguments(AIOFIBER_CALLER, format, arguments);                  \
    return call;                                                                       \
  }
#define AIOFIBER_CHECKED_PRINTER(name, parameters, call)                                                 \
  int __wrap___##name##_chk(AIOFIBER_LIST parameters int flag, const char* format, ...) {                \
    va_list arguments;                                                                                   \
    va_start(arguments, format);                                                                         \
    if (noted()) reads_arguments(AIOFIBER_CALLER, format, arguments);                                    \
    const int length = call;                                                                             \
    va_end(arguments);                                                                                   \
    return length;                                                                                       \
  }                                                                                                      \
  int __wrap___v##name##_chk(AIOFIBER_LIST parameters int flag, const char* format, va_list arguments) { \
    if (noted()) reads_arguments(AIOFIBER_CALLER, format, arguments);                                    \
    return call;                                                                                         \
  }
#define AIOFIBER_LIST(...) __VA_ARGS__ __VA_OPT__(, )
AIOFIBER_PRINTER(printf, (), __real_vprintf(format, arguments))
AIOFIBER_PRINTER(fprintf, (FILE * file), __real_vfprintf(file, format, arguments))
AIOFIBER_PRINTER(dprintf, (int fd), __real_vdprintf(fd, format, arguments))
AIOFIBER_CHECKED_PRINTER(printf, (), __real___vprintf_chk(flag, format, arguments))
AIOFIBER_CHECKED_PRINTER(fprintf, (FILE * file), __real___vfprintf_chk(file, flag, format, arguments))
AIOFIBER_CHECKED_PRINTER(dprintf, (int fd), __real___vdprintf_chk(fd, flag, format, arguments))

AIOFIBER_WRAPPED(size_t, fwrite, const void* from, size_t size, size_t count, FILE* file) {
  if (noted()) AIOFIBER_CALLER.reads(from, size * count);
  return __real_fwrite(from, size, count, file);
}
AIOFIBER_WRAPPED(int, fputs, const char* text, FILE* file) {
  if (noted()) AIOFIBER_CALLER.reads(text, __real_strlen(text) + 1);
  return __real_fputs(text, file);
}
AIOFIBER_WRAPPED(int, puts, const char* text) {
  if (noted()) AIOFIBER_CALLER.reads(text, __real_strlen(text) + 1);
  return __real_puts(text);
}
// ---- input: written by the stream

AIOFIBER_WRAPPED(size_t, fread, void* to, size_t size, size_t count, FILE* file) {
  const Caller caller = AIOFIBER_CALLER;
  const size_t items = __real_fread(to, size, count, file);
  if (noted()) caller.writes(to, size * items);
  return items;
}
AIOFIBER_WRAPPED(char*, fgets, char* to, int room, FILE* file) {
  const Caller caller = AIOFIBER_CALLER;
  char* const line = __real_fgets(to, room, file);
  if (noted() && line != nullptr) caller.writes(to, __real_strlen(to) + 1);
  return line;
}
AIOFIBER_WRAPPED(char*, __fgets_chk, char* to, size_t size, int room, FILE* file) {
  const Caller caller = AIOFIBER_CALLER;
  char* const line = __real___fgets_chk(to, size, room, file);
  if (noted() && line != nullptr) caller.writes(to, __real_strlen(to) + 1);
  return line;
}

}  // extern "C"
