// SPDX-License-Identifier: Apache-2.0
//
// What idioms.c has: C code in the ways of old programs, as one would find it. Each function waits in
// usleep(), which suspends a task. Those of the first part are wrong when several tasks run them; those of
// the second are not.
#pragma once

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

// Shared by accident.
int post_form(int length);                   // sets a global, makes a call, puts the global back
int upload(const char* text);                // fills a static buffer, waits, sends it
int fetch_by_connection(int server);         // keeps its connection in a static
int count_slowly(void);                      // reads a counter, waits, writes it
int sum_words(const char* text);             // an iterator that keeps its place, as strtok does
int open_and_explain(int number);            // an error number in a global of its own
int parse_options(int argc, char** argv);    // getopt's optarg across a wait
int log_line(int number);                    // a static in a header
int receive(int fd);                         // the kernel fills a static buffer
int send_later(int fd, int value);           // the kernel reads a static buffer
int send_part(int skip, int from, int to);   // the kernel reads it, and writes it again at once
void print_in_pieces(FILE* to, int number);  // prints a line, and waits in the middle of it
void print_in_flushed_pieces(FILE* to, int number);

// Not shared, or on purpose.
int look_up(int key);               // constant tables
int lazily(int key);                // a static that the first caller initialises
int set_same(int value);            // everybody writes the same value
int under_mutex(int value);         // a variable with its lock
int own_slot(int slot, int value);  // an array with a place for each task
int scratch(int value);             // a static buffer that is not used across a wait
int count(void);                    // a counter that is read and written in one go
int restored_in_time(int value);    // another task has put back what it changed
int reset_before_use(int value);    // what it finds it overwrites
int jump_back(int times);           // a jump by a static jmp_buf, which the hooks keep for each task
int call_kernel(void);              // system calls with static variables; 0, or the line that failed
void print_whole_lines(FILE* to, int number);  // waits between lines
void print_flushed_lines(FILE* to, int number);
void print_the_last_line(FILE* to, int number);  // ends without a newline
void flush_after_a_while(FILE* to);
void print_under_a_lock(FILE* to, int number);
void print_numbers(FILE* to, int number);  // bytes, and waits between them

#ifdef __cplusplus
}
#endif
