// SPDX-License-Identifier: Apache-2.0
//
// A program that writes to one stream by functions that take a FILE: to stdout, or with ON_STDERR to stderr.
// It lists the users.
#include <pwd.h>
#include <stdio.h>

#ifdef ON_STDERR
#define STREAM stderr
#else
#define STREAM stdout
#endif

__attribute__((noinline)) int list_users() {
  int count = 0;
  while (const passwd* const user = ::getpwent()) {
    ::fputs(user->pw_name, STREAM);
    ++count;
  }
  return count;
}

int main() { return list_users() > 0 ? 0 : 1; }
