// SPDX-License-Identifier: Apache-2.0
//
// C code in the ways of old programs. See idioms.h.
#define _GNU_SOURCE
#include "idioms.h"

#include <getopt.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "idioms_log.h"

// ---- set, call, restore

enum { GET, POST };
static int method = GET;

static int send_request(int length) {
  usleep(1000);  // connects
  return method == POST ? length : -1;
}

int post_form(int length) {
  int saved = method;
  method = POST;
  int sent = send_request(length);
  method = saved;
  return sent;
}

// ---- a static buffer

static char chunk[8192];

static unsigned checksum(const char* data, size_t size) {
  unsigned sum = 0;
  for (size_t i = 0; i < size; ++i) sum = sum * 31 + (unsigned char)data[i];
  return sum;
}

int upload(const char* text) {
  size_t size = strlen(text);
  memcpy(chunk, text, size);
  usleep(1000);  // waits until the server is ready
  return checksum(chunk, size) == checksum(text, size);
}

// ---- a cached connection

static struct {
  int server;
  int descriptor;
  int reused;
  char name[32];
} pconn;

static void connect_to(int server) {
  pconn.server = server;
  pconn.descriptor = 100 + server;
  snprintf(pconn.name, sizeof pconn.name, "server-%d", server);
}

int fetch_by_connection(int server) {
  connect_to(server);
  usleep(1000);  // sends the request
  return pconn.descriptor == 100 + server;
}

// ---- a counter

static int requests;

int count_slowly(void) {
  int before = requests;
  usleep(1000);  // makes the request
  requests = before + 1;
  return requests;
}

// ---- an iterator with a place of its own

static const char* next_word(const char* text) {
  static const char* place;
  if (text != NULL) place = text;
  while (*place == ' ') ++place;
  if (*place == '\0') return NULL;
  const char* word = place;
  while (*place != ' ' && *place != '\0') ++place;
  return word;
}

int sum_words(const char* text) {
  int sum = 0;
  for (const char* word = next_word(text); word != NULL; word = next_word(NULL)) {
    sum += atoi(word);
    usleep(1000);  // works on it
  }
  return sum;
}

// ---- an error number

int last_error;

static int open_numbered(int number) {
  last_error = number;
  return -1;
}

int open_and_explain(int number) {
  if (open_numbered(number) == 0) return 0;
  usleep(1000);  // logs it
  return last_error;
}

// ---- getopt

int parse_options(int argc, char** argv) {
  optind = 1;
  int found = getopt(argc, argv, "n:");
  if (found != 'n') return -1;
  usleep(1000);  // opens the configuration
  return atoi(optarg);
}

// ---- a static in a header

int log_line(int number) {
  log_prefix = number;
  usleep(1000);
  return log_prefix;
}

// ---- the kernel writes and reads

int receive(int fd) {
  static char line[32];
  if (read(fd, line, sizeof line) < 1) return -1;
  usleep(1000);
  return line[0];
}

int send_later(int fd, int value) {
  static char record[32];
  int length = snprintf(record, sizeof record, "%d", value);
  usleep(1000);
  return write(fd, record, (size_t)length) == length;
}

int send_part(int skip, int from, int to) {
  static char part[16];
  for (int i = 0; i <= skip; ++i) {
    if (read(from, part, sizeof part) != sizeof part) return -1;
    usleep(1000);  // there is no room
  }
  if (send(to, part, sizeof part, 0) != sizeof part) return -1;
  return read(from, part, sizeof part) == sizeof part;
}

// ---- one output stream for all

void print_in_pieces(FILE* to, int number) {
  fprintf(to, "page %d: ", number);
  usleep(1000);  // fetches it
  fprintf(to, "%d bytes\n", number * 100);
}

void print_in_flushed_pieces(FILE* to, int number) {
  fprintf(to, "page %d: ", number);
  fflush(to);
  usleep(1000);
  fprintf(to, "%d bytes\n", number * 100);
  fflush(to);
}

// ---- right

void print_flushed_lines(FILE* to, int number) {
  for (int i = 0; i < 3; ++i) {
    fprintf(to, "page %d: ", number);
    fflush(to);
    fprintf(to, "%d bytes\n", number * 100);
    fflush(to);
    usleep(1000);
  }
}

void print_whole_lines(FILE* to, int number) {
  usleep(1000);
  fprintf(to, "page %d: ", number);
  fprintf(to, "%d bytes\n", number * 100);
  usleep(1000);
  fprintf(to, "page %d is done\n", number);
}

void print_the_last_line(FILE* to, int number) {
  usleep(number == 1 ? 1000 : 3000);
  fprintf(to, "%d", number);
}

void flush_after_a_while(FILE* to) {
  usleep(500);
  fflush(to);
  usleep(3000);
}

static pthread_mutex_t of_output = PTHREAD_MUTEX_INITIALIZER;

void print_under_a_lock(FILE* to, int number) {
  pthread_mutex_lock(&of_output);
  print_in_pieces(to, number);
  pthread_mutex_unlock(&of_output);
}

void print_numbers(FILE* to, int number) {
  for (int i = 0; i < 3; ++i) {
    fwrite(&number, sizeof number, 1, to);
    usleep(1000);
  }
}

static const int squares[] = {0, 1, 4, 9, 16, 25, 36, 49};
static const char* names[] = {"zero", "one", "two", "three"};

int look_up(int key) {
  int sum = squares[key % 8] + (int)strlen(names[key % 4]);
  usleep(1000);
  return sum + squares[key % 8] + (int)strlen(names[key % 4]);
}

int lazily(int key) {
  static int ready;
  static int table[16];
  if (!ready) {
    for (int i = 0; i < 16; ++i) table[i] = i * i;
    ready = 1;
  }
  usleep(1000);
  return table[key % 16];
}

static int verbosity;

int set_same(int value) {
  verbosity = value;
  usleep(1000);
  return verbosity;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int guarded;

int under_mutex(int value) {
  pthread_mutex_lock(&mutex);
  guarded = value;
  pthread_mutex_unlock(&mutex);
  usleep(1000);
  pthread_mutex_lock(&mutex);
  int seen = guarded;
  pthread_mutex_unlock(&mutex);
  return seen;
}

static struct {
  int value;
  char text[20];
} slots[64];

int own_slot(int slot, int value) {
  slots[slot].value = value;
  snprintf(slots[slot].text, sizeof slots[slot].text, "%d", value);
  usleep(1000);
  return slots[slot].value == value && atoi(slots[slot].text) == value;
}

int scratch(int value) {
  static char text[32];
  snprintf(text, sizeof text, "%d", value);
  int read_back = atoi(text);
  usleep(1000);
  snprintf(text, sizeof text, "%d", value + 1);
  return read_back + atoi(text);
}

static int total;

int count(void) {
  ++total;
  usleep(1000);
  ++total;
  usleep(1000);
  total += 2;
  return total;
}

static int mode;

int restored_in_time(int value) {
  mode = value;
  usleep(value == 1 ? 3000 : 1000);
  if (value != 1) mode = 1;
  return mode;
}

static int found;

int reset_before_use(int value) {
  found = value;
  usleep(1000);
  found = value;
  return found;
}

static sigjmp_buf too_late;

int jump_back(int times) {
  int kept = times * times;  // in a register that sigsetjmp() saves
  volatile int jumps = 0;
  for (volatile int i = 0; i < times; ++i) {
    if (sigsetjmp(too_late, 1) == 0) {
      usleep(1000);
      if (i % 2 == 0) siglongjmp(too_late, 1);
    } else {
      ++jumps;
    }
    usleep(1000);
  }
  return kept + jumps - times * times;
}

int call_kernel(void) {
  static struct stat status;
  static struct utsname host;
  static char folder[4096];
  static char path[] = "/proc/self/exe";
  static int ends[2], waiting, result;
  static sigset_t every, before;
  if (stat(path, &status) != 0 || status.st_size == 0) return __LINE__;
  if (uname(&host) != 0 || host.sysname[0] != 'L') return __LINE__;
  if (getcwd(folder, sizeof folder) == NULL || folder[0] != '/') return __LINE__;
  if (pipe(ends) != 0) return __LINE__;
  if (write(ends[1], "abc", 3) != 3) return __LINE__;
  if (ioctl(ends[0], FIONREAD, &waiting) != 0 || waiting != 3) return __LINE__;
  close(ends[0]);
  close(ends[1]);
  sigfillset(&every);
  if (sigprocmask(SIG_BLOCK, &every, &before) != 0) return __LINE__;
  usleep(1000);
  if (sigprocmask(SIG_SETMASK, &before, NULL) != 0) return __LINE__;
  pid_t child = fork();
  if (child == 0) {
    result = 7;
    _exit(stat(path, &status) == 0 ? result : 1);
  }
  if (waitpid(child, &result, 0) != child || WEXITSTATUS(result) != 7) return __LINE__;
  return 0;
}
