// SPDX-License-Identifier: Apache-2.0
//
// fetch HOST PORT FOLDER <LIST: fetches the paths of LIST, one a line, by HTTP, one after the other. It saves
// each body in FOLDER and prints a line for each page: status, bytes, checksum, path.
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct page {
  char* path;
  int status;         // of HTTP; 0: none
  size_t bytes;       // of the body
  uint32_t checksum;  // of the body
  char error[128];    // empty: none
};

struct job {
  const char* host;
  const char* port;
  const char* folder;
  struct page* pages;
  size_t count;
};

static const struct job* the_job;

static void set_error(struct page* page, const char* what, const char* why) {
  snprintf(page->error, sizeof page->error, "%s: %s", what, why);
}

// ---- the list ---------------------------------------------------------------------------------------------

static void read_list(FILE* file, struct job* job) {
  char* line = NULL;
  size_t room = 0;
  size_t pages_room = 0;
  ssize_t length;
  while ((length = getline(&line, &room, file)) > 0) {
    if (line[length - 1] == '\n') line[--length] = '\0';
    if (length == 0) continue;
    if (job->count == pages_room) {
      pages_room = pages_room == 0 ? 16 : 2 * pages_room;
      job->pages = realloc(job->pages, pages_room * sizeof *job->pages);
      if (job->pages == NULL) abort();
    }
    struct page* page = &job->pages[job->count++];
    memset(page, 0, sizeof *page);
    page->path = strdup(line);
    if (page->path == NULL) abort();
  }
  free(line);
}

static void free_list(struct job* job) {
  for (size_t i = 0; i < job->count; ++i) free(job->pages[i].path);
  free(job->pages);
}

// ---- the connection ---------------------------------------------------------------------------------------

static int connect_to(const char* host, const char* port, struct page* page) {
  struct addrinfo wanted;
  memset(&wanted, 0, sizeof wanted);
  wanted.ai_socktype = SOCK_STREAM;
  struct addrinfo* found = NULL;
  const int error = getaddrinfo(host, port, &wanted, &found);
  if (error != 0) {
    set_error(page, host, gai_strerror(error));
    return -1;
  }
  int fd = -1;
  for (const struct addrinfo* at = found; at != NULL && fd < 0; at = at->ai_next) {
    fd = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
    if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
      set_error(page, "connect", strerror(errno));
      close(fd);
      fd = -1;
    }
  }
  freeaddrinfo(found);
  return fd;
}

static int send_request(int fd, struct page* page) {
  char request[1024];
  const int length = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", page->path);
  if (length < 0 || (size_t)length >= sizeof request) {
    set_error(page, "request", "the path is too long");
    return -1;
  }
  for (size_t sent = 0; sent < (size_t)length;) {
    const ssize_t more = send(fd, request + sent, (size_t)length - sent, MSG_NOSIGNAL);
    if (more < 0) {
      set_error(page, "send", strerror(errno));
      return -1;
    }
    sent += (size_t)more;
  }
  return 0;
}

// The whole answer, ended by a zero; NULL after an error. The caller frees it.
static char* receive_answer(int fd, size_t* length, struct page* page) {
  char* answer = NULL;
  size_t room = 0;
  *length = 0;
  for (;;) {
    if (room - *length < 2) {
      room = room == 0 ? 4096 : 2 * room;
      char* larger = realloc(answer, room);
      if (larger == NULL) abort();
      answer = larger;
    }
    const ssize_t more = recv(fd, answer + *length, room - *length - 1, 0);
    if (more < 0) {
      set_error(page, "recv", strerror(errno));
      free(answer);
      return NULL;
    }
    if (more == 0) break;
    *length += (size_t)more;
  }
  answer[*length] = '\0';
  return answer;
}

// ---- one page ---------------------------------------------------------------------------------------------

static uint32_t checksum_of(const char* data, size_t bytes) {
  uint32_t sum = 2166136261u;
  for (size_t i = 0; i < bytes; ++i) sum = (sum ^ (unsigned char)data[i]) * 16777619u;
  return sum;
}

static void save(const char* body, struct page* page) {
  const char* name = strrchr(page->path, '/');
  char file_name[1024];
  snprintf(file_name, sizeof file_name, "%s/%s", the_job->folder, name != NULL ? name + 1 : page->path);
  FILE* file = fopen(file_name, "w");
  if (file == NULL || fwrite(body, 1, page->bytes, file) != page->bytes) {
    set_error(page, "save", strerror(errno));
  }
  if (file != NULL && fclose(file) != 0) set_error(page, "save", strerror(errno));
}

static void fetch_page(struct page* page) {
  const int fd = connect_to(the_job->host, the_job->port, page);
  if (fd < 0) return;
  size_t length = 0;
  char* answer = send_request(fd, page) == 0 ? receive_answer(fd, &length, page) : NULL;
  close(fd);
  if (answer == NULL) return;
  const char* body = strstr(answer, "\r\n\r\n");
  if (body == NULL || sscanf(answer, "HTTP/%*s %d", &page->status) != 1) {
    set_error(page, "answer", "not HTTP");
  } else {
    body += 4;
    page->bytes = length - (size_t)(body - answer);
    page->checksum = checksum_of(body, page->bytes);
    if (page->status == 200) save(body, page);
  }
  free(answer);
}

// ---- all pages --------------------------------------------------------------------------------------------

static void fetch_all(void) {
  for (size_t i = 0; i < the_job->count; ++i) {
    fetch_page(&the_job->pages[i]);
  }
}

// Returns the number of pages that were not fetched.
static int report(void) {
  int failures = 0;
  for (size_t i = 0; i < the_job->count; ++i) {
    const struct page* page = &the_job->pages[i];
    if (page->error[0] != '\0') {
      printf("error %s (%s)\n", page->path, page->error);
    } else {
      printf("%d %zu %08x %s\n", page->status, page->bytes, (unsigned)page->checksum, page->path);
    }
    if (page->error[0] != '\0' || page->status != 200) ++failures;
  }
  return failures;
}

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: %s HOST PORT FOLDER <LIST\n", argv[0]);
    return 2;
  }
  struct job job = {argv[1], argv[2], argv[3], NULL, 0};
  the_job = &job;
  read_list(stdin, &job);
  fetch_all();
  const int failures = report();
  free_list(&job);
  return failures == 0 ? 0 : 1;
}
