// SPDX-License-Identifier: Apache-2.0
//
// Calls that open a file inside libc: fopen, tmpfile, mkstemp and so on, on the offload pool if enabled
// (files_on_pool.h). freopen, which also closes a file, is in close.cc.
#include <stdio.h>
#include <stdlib.h>

#include <cerrno>
#include <cstring>

#include "hooks/core/descriptor_notes.h"
#include "hooks/core/real.h"
#include "hooks/files/files_on_pool.h"

namespace aiofiber::hooks {

namespace {

// Creates a file from a pattern: "...XXXXXX", and a suffix of this many bytes. libc overwrites the pattern
// before a signal can interrupt the call, so a repeated call first needs the pattern restored.
template <class Call>
int make_by_pool(char* pattern, int suffix_length, Call call) {
  return noted_opened(by_pool([=] {
    const int fd = call();
    if (fd < 0 && errno == EINTR)
      std::memset(pattern + std::strlen(pattern) - static_cast<std::size_t>(suffix_length) - 6, 'X', 6);
    return fd;
  }));
}

FILE* noted_file(FILE* file) noexcept {
  if (file != nullptr) noted_opened(::fileno(file));
  return file;
}

}  // namespace

}  // namespace aiofiber::hooks

using namespace aiofiber::hooks;

extern "C" {

FILE* fopen(const char* path, const char* mode) {
  return noted_file(by_pool<FILE*>(nullptr, [=] { return real::fopen(path, mode); }));
}
FILE* tmpfile() {
  return noted_file(by_pool<FILE*>(nullptr, [] { return real::tmpfile(); }));
}

int mkstemp(char* pattern) {
  return make_by_pool(pattern, 0, [=] { return real::mkstemp(pattern); });
}
int mkostemp(char* pattern, int flags) {
  return make_by_pool(pattern, 0, [=] { return real::mkostemp(pattern, flags); });
}
int mkstemps(char* pattern, int suffix_length) {
  return make_by_pool(pattern, suffix_length, [=] { return real::mkstemps(pattern, suffix_length); });
}
int mkostemps(char* pattern, int suffix_length, int flags) {
  return make_by_pool(pattern, suffix_length, [=] { return real::mkostemps(pattern, suffix_length, flags); });
}
char* mkdtemp(char* pattern) noexcept {  // mkdir(2) is not interrupted
  return by_pool<char*>(nullptr, [=] { return real::mkdtemp(pattern); });
}

#if __LP64__  // where off_t has 64 bits the longer names are the same functions
FILE* fopen64(const char* path, const char* mode) { return fopen(path, mode); }
FILE* tmpfile64() { return tmpfile(); }
int mkstemp64(char* pattern) { return mkstemp(pattern); }
int mkostemp64(char* pattern, int flags) { return mkostemp(pattern, flags); }
int mkstemps64(char* pattern, int suffix_length) { return mkstemps(pattern, suffix_length); }
int mkostemps64(char* pattern, int suffix_length, int flags) {
  return mkostemps(pattern, suffix_length, flags);
}
#endif

}  // extern "C"
