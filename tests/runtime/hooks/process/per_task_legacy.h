/* SPDX-License-Identifier: Apache-2.0
 *
 * Old code. Each returns 1 if its answer was right: see per_task_legacy.c. `number`, from 0, tells the
 * callers apart.
 */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

int legacy_upload(int number);
int legacy_post(int number);
int legacy_words(int number);
int legacy_options(int number);
int legacy_fetch(int number);
int legacy_fails(int number);

/* per_task_declared.c; and how many values made by its function are not released. */
int legacy_declared(int number);
int legacy_values_out(void);

void legacy_release(void* value, size_t bytes, void* argument);

extern int legacy_error, legacy_connections;
extern const int legacy_constant;
extern __thread int legacy_of_thread;
int legacy_twice(void);
int legacy_beside(void);
int legacy_in_functions(int which);

#ifdef __cplusplus
}
#endif
