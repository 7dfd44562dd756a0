// SPDX-License-Identifier: Apache-2.0
//
// What heap_idioms.c has: C code that keeps its state on the heap, behind static pointers. As in idioms.h,
// each function waits in usleep(). Only an instrumented program finds what is wrong with the first part.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// Shared by accident.
int fetch_by_allocated_connection(int server);  // a static pointer to a connection that lasts
int store_in_list(int key, int value);          // a list of them, two pointers away from the static
int answer_in_buffer(int number);               // a buffer that libc writes
int receive_in_buffer(int fd);                  // a buffer that the kernel writes
int send_from_buffer(int fd, int number);       // a buffer that the kernel reads
int fill_growing_buffer(int number);            // a buffer that realloc() has made larger
int count_on_heap(int rounds);                  // a lost update, after many steps
int sum_by_strtok(char* words);                 // libc keeps the place
int year_of(long seconds);                      // libc keeps the result

// Not shared, or on purpose.
int work_on_own_block(int number);                  // each task has its own, also where another's was before
int work_on_handed_block(int number, int* shared);  // no static leads there
int work_under_mutex(int number);                   // a block with its lock
int work_on_zeroed_block(int number);               // calloc() gives what another task had
int swap_blocks(
    int number);  // a static pointer to a new block for each call, which is not used after the wait

#ifdef __cplusplus
}
#endif
