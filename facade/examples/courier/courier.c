// SPDX-License-Identifier: Apache-2.0
//
// courier PORT SECONDS JOBS FOLDER: does what the file JOBS says, one job after the other, with an HTTP/1.1
// server on 127.0.0.1, and prints a line for each request: method, path, status, checksum of the answer. A
// job is a line of JOBS:
//   get /pages/ a b c     fetches /pages/a, /pages/b and /pages/c, and saves them in FOLDER
//   put /files/x FILE     sends FILE
//   post /forms/x TEXT    sends TEXT
// A server that is not there yet is waited for. One that answers "503 Service Unavailable" is asked again,
// but only a few times in a run. One that does not answer in SECONDS is given up.
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "digest.h"

enum { FAILED = -1, TIMED_OUT = -2 };  // instead of a status of HTTP

static in_port_t port;
static unsigned time_limit;  // seconds
static const char* folder;

static const char* method = "GET";
static long long received;     // bytes of all answers
static int retries_left = 10;  // in the whole run: a busy server is not to be asked for ever
static int failures;

// ---- the connection ---------------------------------------------------------------------------------------

static int kept = -1;  // the connection, kept for the next request

static void pause_ms(long milliseconds) {
  const struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  nanosleep(&time, NULL);
}

// Waits for a server that does not listen yet.
static int connection(void) {
  while (kept < 0) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(port)};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) return -1;
    if (connect(fd, (const struct sockaddr*)&server, sizeof server) == 0) {
      kept = fd;
    } else {
      fprintf(stderr, "courier: connect: %s; trying again\n", strerror(errno));
      close(fd);
      pause_ms(200);
    }
  }
  return kept;
}

static void hang_up(void) {
  close(kept);
  kept = -1;
}

static int send_all(int fd, const char* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
    if (sent < 0) return -1;
    data += sent;
    bytes -= (size_t)sent;
  }
  return 0;
}

// ---- one request ------------------------------------------------------------------------------------------

static char chunk[8192];  // on its way between a file and the connection

static int send_file(int fd, int file) {
  ssize_t bytes;
  while ((bytes = read(file, chunk, sizeof chunk)) > 0) {
    if (send_all(fd, chunk, (size_t)bytes) != 0) return -1;
  }
  return (int)bytes;
}

// `body`: the text of a POST, the name of a PUT's file.
static int send_request(int fd, const char* path, const char* body) {
  int file = -1;
  long long bytes = 0;
  if (strcmp(method, "POST") == 0) bytes = (long long)strlen(body);
  if (strcmp(method, "PUT") == 0) {
    struct stat status;
    file = open(body, O_RDONLY);
    if (file < 0 || fstat(file, &status) != 0) return -1;
    bytes = status.st_size;
  }
  char head[1024];
  snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %lld\r\n\r\n", method,
           path, bytes);
  int result = send_all(fd, head, strlen(head));
  if (result == 0 && file >= 0) result = send_file(fd, file);
  if (result == 0 && file < 0 && bytes > 0) result = send_all(fd, body, (size_t)bytes);
  if (file >= 0) close(file);
  return result;
}

// ---- its answer -------------------------------------------------------------------------------------------

struct head {
  int status;
  long long bytes;  // of the body
  int is_last;      // the server will close the connection
};

static int receive_line(int fd, char* line, size_t room) {
  size_t length = 0;
  char byte;
  do {
    if (recv(fd, &byte, 1, 0) != 1) return -1;
    if (byte != '\r' && byte != '\n' && length + 1 < room) line[length++] = byte;
  } while (byte != '\n');
  line[length] = '\0';
  return (int)length;
}

static int receive_lines(int fd, struct head* head) {
  char line[1024];
  if (receive_line(fd, line, sizeof line) < 0 || sscanf(line, "HTTP/1.1 %d", &head->status) != 1)
    return FAILED;
  int length;
  while ((length = receive_line(fd, line, sizeof line)) > 0) {
    if (strncasecmp(line, "Content-Length:", 15) == 0) head->bytes = atoll(line + 15);
    if (strcasecmp(line, "Connection: close") == 0) head->is_last = 1;
  }
  return length < 0 ? FAILED : head->status;
}

static sigjmp_buf too_late;

static void on_alarm(int signo) {
  (void)signo;
  siglongjmp(too_late, 1);
}

static int receive_head(int fd, struct head* head) {
  if (sigsetjmp(too_late, 1) != 0) return TIMED_OUT;
  alarm(time_limit);
  const int status = receive_lines(fd, head);
  alarm(0);
  return status;
}

// `file`: where the body goes, or -1.
static int receive_body(int fd, long long bytes, int file) {
  long long sum = received;
  digest_begin();
  while (bytes > 0) {
    const size_t wanted = bytes < (long long)sizeof chunk ? (size_t)bytes : sizeof chunk;
    const ssize_t got = recv(fd, chunk, wanted, 0);
    if (got <= 0) return -1;
    if (file >= 0 && write(file, chunk, (size_t)got) != got) return -1;
    digest_add(chunk, (size_t)got);
    bytes -= got;
    sum += got;
  }
  received = sum;
  return 0;
}

// Returns the status.
static int exchange(const char* path, const char* body, const char* save_as) {
  const int fd = connection();
  if (fd < 0) return FAILED;
  struct head head = {0, 0, 0};
  int status = send_request(fd, path, body) == 0 ? receive_head(fd, &head) : FAILED;
  if (status > 0) {
    const int file =
        save_as != NULL && status == 200 ? open(save_as, O_CREAT | O_TRUNC | O_WRONLY, 0644) : -1;
    if (receive_body(fd, head.bytes, file) != 0) status = FAILED;
    if (file >= 0) close(file);
  }
  if (status < 0 || head.is_last) hang_up();
  return status;
}

// Asks a busy server again.
static int exchange_again(const char* path, const char* body, const char* save_as) {
  int status;
  while ((status = exchange(path, body, save_as)) == 503 && retries_left > 0) {
    pause_ms(100);
    --retries_left;
  }
  return status;
}

static void request(const char* path, const char* body, const char* save_as) {
  printf("%s %s", method, path);
  fflush(stdout);  // somebody may watch
  const int status = exchange_again(path, body, save_as);
  if (status > 0) {
    printf(" %d %08x\n", status, (unsigned)digest_value());
  } else {
    printf(" %s\n", status == TIMED_OUT ? "timed out" : "failed");
  }
  if (status != 200) ++failures;
}

static void send_as(const char* wanted, const char* path, const char* body) {
  const char* const before = method;
  method = wanted;
  request(path, body, NULL);
  method = before;
}

// ---- the jobs ---------------------------------------------------------------------------------------------

static void do_job(char* line) {
  const char* const kind = strtok(line, " ");
  const char* const path = strtok(NULL, " ");
  for (const char* word; path != NULL && (word = strtok(NULL, " ")) != NULL;) {
    if (strcmp(kind, "put") == 0) {
      send_as("PUT", path, word);
    } else if (strcmp(kind, "post") == 0) {
      send_as("POST", path, word);
    } else {
      char page[512], save_as[512];
      snprintf(page, sizeof page, "%s%s", path, word);
      snprintf(save_as, sizeof save_as, "%s/%s", folder, word);
      request(page, "", save_as);
    }
  }
}

// The lines, ended by NULL.
static char** read_jobs(const char* file_name) {
  FILE* const file = fopen(file_name, "r");
  if (file == NULL) return NULL;
  char** jobs = NULL;
  char line[1024];
  for (size_t count = 0;; ++count) {
    char** const more = realloc(jobs, (count + 1) * sizeof *jobs);
    if (more == NULL) abort();
    jobs = more;
    jobs[count] = NULL;
    if (fgets(line, sizeof line, file) == NULL) break;
    line[strcspn(line, "\n")] = '\0';
    if ((jobs[count] = strdup(line)) == NULL) abort();
  }
  fclose(file);
  return jobs;
}

static void do_jobs(char** jobs) {
  for (char** job = jobs; *job != NULL; ++job) do_job(*job);
}

int main(int argc, char** argv) {
  char** const jobs = argc == 5 ? read_jobs(argv[3]) : NULL;
  if (jobs == NULL) {
    fprintf(stderr, "usage: %s PORT SECONDS JOBS FOLDER\n", argv[0]);
    return 2;
  }
  port = (in_port_t)atoi(argv[1]);
  time_limit = (unsigned)atoi(argv[2]);
  folder = argv[4];
  const struct sigaction action = {.sa_handler = on_alarm};
  sigaction(SIGALRM, &action, NULL);
  do_jobs(jobs);
  if (kept >= 0) hang_up();
  printf("%lld bytes, %d failures\n", received, failures);
  for (char** job = jobs; *job != NULL; ++job) free(*job);
  free(jobs);
  return failures == 0 ? 0 : 1;
}
