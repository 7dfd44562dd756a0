// SPDX-License-Identifier: Apache-2.0
//
// A program in the idioms that break in tasks, each with a variable of its own, and some that do not.
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <string>

#if defined(__clang__)
#define SEPARATE extern "C" __attribute__((noinline))
#else
#define SEPARATE extern "C" __attribute__((noinline, noclone))
#endif

// By one instruction, also without optimization.
#if defined(__x86_64__)
#define COUNT_UP(counter) asm volatile("incl %0" : "+m"(counter))
#else
#define COUNT_UP(counter) ++(counter)
#endif

namespace {
int cached_fd = -1;
bool posting;
long bytes_in_all;
char* next_word;
int rounds;
int calls_in_all;
int mode_of_call;
int most_bytes = 5;
long since_start;
int exit_code;
struct {
  long begin, end;
} progress;
struct {
  int given, unchanged;
} two_fields;
FILE* log_file;
int logged;
thread_local int per_thread;
const char* const kNames[] = {"a", "b"};
sigjmp_buf on_time_limit;
}  // namespace
char* answer_of_all;
// Visible to other modules, so that the compiler cannot do without them.
int line_state;
char letters[64];
char codes[] = {'a', 'b', 'c', 'd'};
long at_begin = ::time(nullptr);  // set before main()

// A buffer that every call uses.
SEPARATE long copy_some(int from, int to) {
  static char chunk[8192];
  const ssize_t size = ::recv(from, chunk, sizeof chunk, 0);
  return size <= 0 ? size : ::send(to, chunk, static_cast<size_t>(size), 0);
}

// A connection that is kept for the next call.
SEPARATE int ask(int fd) {
  if (cached_fd != fd) cached_fd = fd;
  char byte = 0;
  if (::recv(fd, &byte, 1, 0) != 1) return -1;
  return cached_fd + byte;
}

// A setting for the time of a call.
SEPARATE long fetch(int fd) { return ::send(fd, posting ? "POST" : "GET", posting ? 4 : 3, 0); }
SEPARATE long post(int fd) {
  posting = true;
  const long result = fetch(fd);
  posting = false;
  return result;
}

// A sum that is read before the wait and written after it.
SEPARATE void count(int fd) {
  const long before = bytes_in_all;
  char byte = 0;
  bytes_in_all = before + ::recv(fd, &byte, 1, 0);
}

// Two fields that one instruction may set, of which the second is used.
SEPARATE long begin_again(int fd) {
  progress.begin = 0;
  progress.end = 0;
  const long got = ::recv(fd, nullptr, 0, 0);
  return got + progress.end;
}
SEPARATE void extend(long by) { progress.end += progress.begin + by; }

// An iterator, as strtok() has.
SEPARATE char* word_after(char* text) {
  if (text != nullptr) next_word = text;
  char* const word = next_word;
  if (word != nullptr) next_word = ::strchr(word, ' ');
  return word;
}
SEPARATE void send_words(int fd, char* text) {
  for (char* word = word_after(text); word != nullptr; word = word_after(nullptr)) ::send(fd, word, 1, 0);
}

// Set here, used there: seen only with -v.
SEPARATE void keep(char* answer) { answer_of_all = answer; }
SEPARATE long send_kept(int fd) { return ::send(fd, answer_of_all, 1, 0); }

// Not across a wait, not changed, or not shared.
SEPARATE void count_rounds() { ++rounds; }
SEPARATE long up_to_the_limit(int fd) {
  char byte = 0;
  const long got = ::recv(fd, &byte, 1, 0);
  per_thread = most_bytes;
  const long again = ::recv(fd, &byte, 1, 0);
  return got + again + most_bytes + per_thread;
}
SEPARATE long since_begin(int fd) { return ::send(fd, "", 1, 0) + at_begin; }
SEPARATE void read_letters(int* sum) {
  for (const char& letter : letters) *sum += letter;
}
SEPARATE long send_letter(int fd) { return ::send(fd, "", 1, 0) + letters[3]; }
SEPARATE long send_code(int fd, int which) { return ::send(fd, &codes[which], 1, 0); }
// A state of the callee's callee, which is in order whenever the callee returns.
SEPARATE int note_line(int length) { return line_state = line_state / 2 + length; }
SEPARATE int log_line(const char* line) { return note_line(static_cast<int>(::strlen(line))) + 1; }
SEPARATE void log_two_lines(int fd, const char* line) {
  log_line(line);
  ::send(fd, line, 1, 0);
  log_line(line + 1);
}
// Each time set anew, and used only before the wait.
SEPARATE void set_mode(int mode) { mode_of_call = mode; }
SEPARATE long call_in_modes(int fd) {
  set_mode(1);
  const long got = ::send(fd, "", static_cast<size_t>(mode_of_call), 0);
  set_mode(2);
  return got;
}
SEPARATE int set_one_field(int fd) {
  two_fields.given = fd;
  ::recv(fd, nullptr, 0, 0);
  return two_fields.unchanged;
}
// Counts before the wait and after it: right, whoever counts meanwhile.
SEPARATE long count_calls(int fd) {
  COUNT_UP(calls_in_all);
  const long got = ::recv(fd, nullptr, 0, 0);
  COUNT_UP(calls_in_all);
  return got;
}
SEPARATE void set_exit_code(int code) { exit_code = code + (exit_code & 2); }
#if !defined(HOOKS_CHECK_EXPORTS_NOTHING)  // std::string's code would be exported
// Made at the first call, under a guard. One is then only read, the other one is a setting for a time.
SEPARATE long greet(int fd, const char* name) {
  static std::string greeting(name);
  static long answers = ::time(nullptr);
  answers = fd;
  ::recv(fd, nullptr, 0, 0);
  return ::send(fd, greeting.data(), greeting.size(), 0) + static_cast<long>(greeting.size()) + answers;
}
#else
SEPARATE long greet(int fd, const char* name) { return ::send(fd, name, 1, 0); }
#endif
// A log is written between the setting and the use.
SEPARATE int log_it(int number) {
  logged = number;
  ::fprintf(log_file, "%d\n", number);
  ::fflush(log_file);
  return logged;
}
SEPARATE void print_time(time_t now) { ::puts(::asctime(::localtime(&now))); }

SEPARATE long within(unsigned seconds, int fd) {
  if (sigsetjmp(on_time_limit, 1) != 0) return -1;
  ::alarm(seconds);
  const long got = up_to_the_limit(fd);
  ::alarm(0);
  return got;
}
SEPARATE void give_up(int) { siglongjmp(on_time_limit, 1); }

int main(int argc, char** argv) {
  since_start = ::time(nullptr);
  most_bytes = argc;
  set_exit_code(1);
  two_fields.unchanged = argc;
  log_file = ::fopen("/dev/null", "we");
  int sum = 0;
  for (int i = 1; i < argc; ++i) {
    const int fd = ::atoi(argv[i]);
    keep(argv[i]);
    send_words(fd, argv[i]);
    count(fd);
    count_rounds();
    read_letters(&sum);
    log_two_lines(fd, argv[i]);
    extend(i);
    sum += static_cast<int>(call_in_modes(fd) + begin_again(fd)) + set_one_field(fd) +
           static_cast<int>(count_calls(fd));
    sum += static_cast<int>(greet(fd, argv[i]) + since_begin(fd) + send_letter(fd) + send_code(fd, i & 3)) +
           log_it(i);
    print_time(since_start);
    ::printf("%ld %d %ld %ld %ld %s\n", copy_some(fd, fd), ask(fd), post(fd), send_kept(fd), within(1, fd),
             kNames[i & 1]);
  }
  if (argc > 100) give_up(0);
  set_exit_code(sum == 0);
  return static_cast<int>(bytes_in_all) + exit_code;
}
