/* SPDX-License-Identifier: Apache-2.0
 *
 * Variables with a value per task, for C: an old library's static buffer, a global that is set around a call.
 * The code that uses the variable stays as it is. For C++ there is hooks::per_task() in <aiofiber/hooks.h>;
 * what is here works there too. Which value a task begins with, what happens with several threads, and what
 * it costs: runtime/hooks/README.md, "State per task".
 *
 *   static char chunk[8192];
 *   AIOFIBER_PER_TASK(chunk);               // beside the variable, or in the function that contains it
 *
 *   if (aiofiber_per_task("http.c:pconn") != 0) return 1;   // in main(); the source is not touched
 */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All zero: a new task begins with the value that its creator has at that moment. */
struct aiofiber_per_task_options {
  int from_registration; /* 1: begin with the value that the variable had when it was registered */
  /* Changes the first value of a new task in place. It must not suspend, register variables or create tasks.
     `value` is a copy, not the variable itself. */
  void (*init)(void* value, size_t bytes, void* argument);
  /* Called with the last value of a task that has ended: in the variable itself, or a copy. It must not
     suspend. Only with `init`: a copied value may own nothing. */
  void (*release)(void* value, size_t bytes, void* argument);
  void* argument;
};

/* From now on, and for good, the variable with this name has a value per task. Its symbol is looked up in the
   program and its libraries: `optarg`, `chunk` (also a static one, and one in a function), `http.c:chunk` or
   `libfoo.so.1:chunk` if there are several. Returns 0, or an errno value after one line on stderr: ENOENT no
   such name, ENOTUNIQ several (the line lists them), ENOTSUP thread_local, EFAULT read-only or a function,
   EEXIST it overlaps another one, E2BIG more than 1 MiB in all, EBUSY another thread runs a loop, ENOMEM.
   Threads: any while no loop runs; else the one of the only loop. */
int aiofiber_per_task(const char* symbol);
int aiofiber_per_task_with(const char* symbol, const struct aiofiber_per_task_options* options);

/* The same for a range of memory, which stays allocated for good. `name`: for messages, or NULL. `options`
   may be NULL. Also EINVAL: NULL, no bytes, a local variable. */
int aiofiber_per_task_range(void* begin, size_t bytes, const char* name,
                            const struct aiofiber_per_task_options* options);

/* 0 promises that the loops of the calling thread run no code that uses such variables. Its tasks then have
   no values of their own, and its loops may run beside the one that does. Returns 0, or EBUSY: a loop runs.
 */
int aiofiber_per_task_on_this_thread(int wanted);

/* ---- the macros' part */

struct aiofiber_per_task_entry {
  void* begin;
  size_t bytes;
  const char* name;
  struct aiofiber_per_task_options options;
};
/* Registers what the macros of a module have noted. Ends the program after an error, because nobody could
   handle it. */
void aiofiber_per_task_entries(struct aiofiber_per_task_entry* const* begin,
                               struct aiofiber_per_task_entry* const* end);

/* The bounds of the section, made by the linker for each program and library. */
extern struct aiofiber_per_task_entry* const __start_aiofiber_per_task[]
    __attribute__((weak, visibility("hidden")));
extern struct aiofiber_per_task_entry* const __stop_aiofiber_per_task[]
    __attribute__((weak, visibility("hidden")));

/* One in each program and library, called when it is loaded, once for each file that includes this. */
__attribute__((weak, visibility("hidden"), constructor)) void aiofiber_per_task_at_load(void);
void aiofiber_per_task_at_load(void) {
  struct aiofiber_per_task_entry* const* const begin = __start_aiofiber_per_task;
  struct aiofiber_per_task_entry* const* const end = __stop_aiofiber_per_task;
  if (begin != end) aiofiber_per_task_entries(begin, end);
}

#ifdef __cplusplus
}
#define AIOFIBER_PER_TASK_CONSTANT constinit
#define AIOFIBER_PER_TASK_ADDRESS(variable) const_cast<void*>(static_cast<const volatile void*>(&(variable)))
#else
#define AIOFIBER_PER_TASK_CONSTANT
#define AIOFIBER_PER_TASK_ADDRESS(variable) ((void*)&(variable))
#endif

#define AIOFIBER_PER_TASK_JOIN_(a, b) a##b
#define AIOFIBER_PER_TASK_JOIN(a, b) AIOFIBER_PER_TASK_JOIN_(a, b)
#define AIOFIBER_PER_TASK_ENTRY(number, variable, from_registration, init, release)                       \
  static AIOFIBER_PER_TASK_CONSTANT struct aiofiber_per_task_entry AIOFIBER_PER_TASK_JOIN(                \
      aiofiber_per_task_entry_, number) = {AIOFIBER_PER_TASK_ADDRESS(variable),                           \
                                           sizeof(variable),                                              \
                                           #variable,                                                     \
                                           {from_registration, init, release, 0}};                        \
  static struct aiofiber_per_task_entry* const AIOFIBER_PER_TASK_JOIN(aiofiber_per_task_pointer_, number) \
      __attribute__((section("aiofiber_per_task"), used)) =                                               \
          &AIOFIBER_PER_TASK_JOIN(aiofiber_per_task_entry_, number)

/* Declarations: the variable has a value per task from the load of its program or library on. At the variable
   if it is global or static, in its function if it is static there. Not in templates or inline functions. */
#define AIOFIBER_PER_TASK(variable) AIOFIBER_PER_TASK_ENTRY(__COUNTER__, variable, 0, 0, 0)
/* A new task begins with the value that the variable has at the load. */
#define AIOFIBER_PER_TASK_FROM_START(variable) AIOFIBER_PER_TASK_ENTRY(__COUNTER__, variable, 1, 0, 0)
/* With functions that make and release a task's value; `release` may be 0. */
#define AIOFIBER_PER_TASK_WITH(variable, init, release) \
  AIOFIBER_PER_TASK_ENTRY(__COUNTER__, variable, 0, init, release)
