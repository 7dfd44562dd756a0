// SPDX-License-Identifier: Apache-2.0
//
// aiofiber for C (C99; also valid C++): tasks on one thread, for programs that are not C++.
//
// A task is a function with a stack of its own. It suspends in the functions below that say so and, in a
// program with the hooks, in libc's blocking calls. Meanwhile the thread runs other tasks.
//
// Functions that return int give 0, or more, for success and a negative `enum aiofiber_error` otherwise. No
// C++ exception leaves them, bad arguments are reported, and errno is left alone. A handle is a number: one
// that has ended, or is another thread's, is refused. How a cancelled task ends: see aiofiber_cancel().
//
// Threads: every thread may have its own aiofiber_run(); handles are for the thread that made them. Lengths
// of time are seconds. INFINITY means no limit, and NaN is AIOFIBER_INVALID.
#ifndef AIOFIBER_H
#define AIOFIBER_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
// On the declarations of this header: no C++ exception leaves them.
#define AIOFIBER_C_NOEXCEPT noexcept
extern "C" {
#else
#define AIOFIBER_C_NOEXCEPT
#endif

// Errno's numbers where errno has the word, so that strerror(-error) says something near; better use
// aiofiber_strerror(). "Here" is the place of the call.
enum aiofiber_error {
  AIOFIBER_CANCELLED = -ECANCELED,          // the calling task was cancelled; see aiofiber_cancel()
  AIOFIBER_TASK_CANCELLED = -ECONNABORTED,  // the task that was waited for ended cancelled
  AIOFIBER_TIMED_OUT = -ETIMEDOUT,          // the time limit passed first
  AIOFIBER_INVALID = -EINVAL,      // an argument is not allowed: a null pointer, a handle that has ended, NaN
  AIOFIBER_NO_LOOP = -ESRCH,       // no aiofiber_run() here: in this thread, or in this process after fork()
  AIOFIBER_OUTSIDE_TASK = -EPERM,  // a loop runs here, but this code is no task that can suspend
  AIOFIBER_OTHER_LOOP = -EXDEV,    // the handle was made in another thread, or in an earlier aiofiber_run()
  AIOFIBER_DEADLOCK = -EDEADLK,    // the task would wait for itself
  AIOFIBER_BUSY = -EBUSY,          // aiofiber_run() in a running loop; a semaphore for which tasks wait
  AIOFIBER_NO_MEMORY = -ENOMEM,    // malloc() failed
  AIOFIBER_EXHAUSTED = -EAGAIN,    // there is no stack for the task, or no key
  AIOFIBER_OVERFLOW = -EOVERFLOW,  // a semaphore has INT64_MAX units
  AIOFIBER_LOOP_CLOSED = -ESHUTDOWN,  // the loop is being closed: return from the task's function
  AIOFIBER_INTERRUPTED = -EINTR,      // Ctrl-C ended aiofiber_run()
  AIOFIBER_FAILED = -EIO              // a C++ exception left the function; it is logged on stderr
};

// What the error means, in English. A static string, never NULL, also for other numbers. Any thread.
const char* aiofiber_strerror(int error) AIOFIBER_C_NOEXCEPT;

// ---- tasks ------------------------------------------------------------------------------------------------

// A handle of a task. All zero: no task. The members are not for programs.
typedef struct aiofiber_task {
  uint64_t place_;
  uint64_t serial_;
} aiofiber_task;

// Options of a task. New members may follow in later versions; `size` tells how many the caller knows. So
// begin with AIOFIBER_TASK_OPTIONS, or write
//     &(struct aiofiber_task_options){.size = sizeof(struct aiofiber_task_options), .name = "fetch"}
struct aiofiber_task_options {
  size_t size;        // sizeof(struct aiofiber_task_options)
  const char* name;   // copied; for `aiofiber ps` and reports. NULL: "Task-N"
  size_t stack_size;  // bytes, rounded up to a power of two, 32 KiB (arm64: 64) to 1 GiB. 0: 256 KiB
};
// The first value of an aiofiber_task_options: its size, and all defaults.
#define AIOFIBER_TASK_OPTIONS \
  { sizeof(struct aiofiber_task_options), NULL, 0 }

// Runs function(argument) as the main task of a new loop in this thread, and returns when that task and all
// others have ended: tasks that are left when it returns are cancelled and waited for. `options` may be NULL.
// If `result` is not NULL, *result becomes what the function returned (NULL if it did not run). Ctrl-C
// cancels the main task, if this is the main thread and the program has no handler of SIGINT. Then
// aiofiber_run() returns AIOFIBER_INTERRUPTED after the clean-up. A second Ctrl-C does not wait for it. To
// die as other programs do, the caller then writes signal(SIGINT, SIG_DFL); raise(SIGINT).
//
// Suspends: no, it blocks the thread. Any thread. Source: asyncio.run. Errors: AIOFIBER_INTERRUPTED;
// AIOFIBER_TASK_CANCELLED: the main task was cancelled in another way; AIOFIBER_INVALID: no function, bad
// options; AIOFIBER_BUSY: a loop runs here; AIOFIBER_NO_MEMORY; AIOFIBER_EXHAUSTED; AIOFIBER_FAILED.
int aiofiber_run(void* (*function)(void*), void* argument, const struct aiofiber_task_options* options,
                 void** result) AIOFIBER_C_NOEXCEPT;

// Makes a task that will call function(argument), once, from the loop's next pass on. The function is called
// even if the task is cancelled before (its first wait then fails), so that it can free its argument. It is
// not called if a wait gives AIOFIBER_EXHAUSTED, or if a second Ctrl-C closes the loop. *task becomes a
// handle, which ends when a wait has reported the task's end, by aiofiber_detach(), or with the loop. `task`
// NULL: detached at once. `options` may be NULL. The argument is only passed on.
//
// Suspends: no. Source: asyncio.create_task. Errors: AIOFIBER_INVALID: no function, bad options;
// AIOFIBER_NO_LOOP; AIOFIBER_NO_MEMORY; AIOFIBER_EXHAUSTED; AIOFIBER_LOOP_CLOSED.
int aiofiber_spawn(void* (*function)(void*), void* argument, const struct aiofiber_task_options* options,
                   aiofiber_task* task) AIOFIBER_C_NOEXCEPT;

// Waits until the task has ended. Then the handle has ended too, and *result (if `result` is not NULL) is
// what the function returned, also if it was cancelled. Several tasks may wait for the same one. A
// cancellation of the caller is passed on to the task and does not cut the wait short: when this returns 0 or
// one of the first four errors, the task no longer uses the caller's variables.
//
// Suspends, unless the task has ended. Source: `await task`. Errors: AIOFIBER_CANCELLED: the caller was
// cancelled, and the task has ended too; AIOFIBER_TASK_CANCELLED; AIOFIBER_FAILED; AIOFIBER_EXHAUSTED: there
// was no stack, and the function was not called. Otherwise the handle is still valid and *result is NULL:
// AIOFIBER_INVALID; AIOFIBER_NO_LOOP; AIOFIBER_OUTSIDE_TASK; AIOFIBER_OTHER_LOOP; AIOFIBER_DEADLOCK;
// AIOFIBER_NO_MEMORY; AIOFIBER_LOOP_CLOSED.
int aiofiber_wait(aiofiber_task task, void** result) AIOFIBER_C_NOEXCEPT;

// The same, but cancels the task after `seconds`, and still waits for its end, however long that takes: when
// it returns AIOFIBER_TIMED_OUT, the task has ended and its handle too. Zero or less: at once, unless it has
// ended.
//
// Suspends. Source: asyncio.wait_for. Errors: those of aiofiber_wait(); AIOFIBER_TIMED_OUT: it ended
// cancelled by the limit, and *result is what it returned. AIOFIBER_INVALID: also NaN.
int aiofiber_wait_for(aiofiber_task task, double seconds, void** result) AIOFIBER_C_NOEXCEPT;

// Waits until all `count` tasks have ended. results[i] and errors[i] become what aiofiber_wait(tasks[i], ...)
// would give; either may be NULL. Returns 0 if all succeeded, else the first error of the array. A
// cancellation of the caller is passed on to all of them. All handles have ended afterwards.
//
// Suspends, unless all have ended. Source: asyncio.gather. Errors: AIOFIBER_CANCELLED: the caller was
// cancelled, and all tasks have ended; the errors of the tasks (AIOFIBER_TASK_CANCELLED, AIOFIBER_FAILED,
// AIOFIBER_EXHAUSTED). Otherwise no handle has ended and nothing was written: AIOFIBER_INVALID: `tasks` is
// NULL although `count` is not 0, or a handle has ended; the other errors of aiofiber_wait().
int aiofiber_gather(const aiofiber_task* tasks, size_t count, void** results,
                    int* errors) AIOFIBER_C_NOEXCEPT;

// Ends the handle. The task goes on, and what its function returns is dropped.
// Suspends: no. Errors: AIOFIBER_INVALID: it has ended before; AIOFIBER_NO_LOOP; AIOFIBER_OTHER_LOOP.
int aiofiber_detach(aiofiber_task task) AIOFIBER_C_NOEXCEPT;

// Requests the cancellation of the task; no effect if it has ended. The wait in which the task is suspended
// ends with an error: a hooked call fails with ECANCELED, a function of this header returns
// AIOFIBER_CANCELLED. **No stack is unwound: the task's code sees the error as any other, frees what it has,
// and returns.** Until then each further wait fails in the same way, and more and more slowly if the code
// repeats it. (Waits for other tasks do not: see aiofiber_wait().) The task counts as cancelled when its
// function returns, whatever it returns. A task that wants to go on calls aiofiber_uncancel(). What cannot
// fail, such as a wait for a mutex, is not cut short.
//
// Suspends: no. Source: Task.cancel. Errors: AIOFIBER_INVALID; AIOFIBER_NO_LOOP; AIOFIBER_OTHER_LOOP.
int aiofiber_cancel(aiofiber_task task) AIOFIBER_C_NOEXCEPT;

// The number of cancellation requests to the calling task that it has not taken back: 0 if there is none. For
// loops that do not wait. Suspends: no. Errors: AIOFIBER_NO_LOOP; AIOFIBER_OUTSIDE_TASK.
int aiofiber_cancelling(void) AIOFIBER_C_NOEXCEPT;

// Takes one request back and returns how many are left. At 0 the calling task waits again as before, and ends
// with what it returns. Suspends: no. Source: Task.uncancel. Errors: AIOFIBER_NO_LOOP; AIOFIBER_OUTSIDE_TASK.
int aiofiber_uncancel(void) AIOFIBER_C_NOEXCEPT;

// 1 if the task has ended, else 0. Suspends: no. Errors: AIOFIBER_INVALID; AIOFIBER_NO_LOOP;
// AIOFIBER_OTHER_LOOP.
int aiofiber_done(aiofiber_task task) AIOFIBER_C_NOEXCEPT;

// 1 if the task has ended cancelled, else 0. Suspends: no. Errors: those of aiofiber_done().
int aiofiber_cancelled(aiofiber_task task) AIOFIBER_C_NOEXCEPT;

// Suspends the calling task for `seconds`, on the loop's clock, to the millisecond. Zero or less: until
// everything else that is ready has run. Source: asyncio.sleep. Errors: AIOFIBER_CANCELLED; AIOFIBER_INVALID:
// NaN; AIOFIBER_NO_LOOP; AIOFIBER_OUTSIDE_TASK; AIOFIBER_NO_MEMORY; AIOFIBER_LOOP_CLOSED.
int aiofiber_sleep(double seconds) AIOFIBER_C_NOEXCEPT;

// Copies the calling task's name into the buffer, cut to size - 1 bytes and ended by a zero, and returns the
// length of the whole name, as snprintf() does. `buffer` may be NULL if `size` is 0. Suspends: no. Errors:
// AIOFIBER_INVALID: no buffer; AIOFIBER_NO_LOOP; AIOFIBER_OUTSIDE_TASK; AIOFIBER_NO_MEMORY.
int aiofiber_name(char* buffer, size_t size) AIOFIBER_C_NOEXCEPT;

// Gives the calling task a name, which is copied. Suspends: no.
// Errors: AIOFIBER_INVALID: NULL; AIOFIBER_NO_LOOP; AIOFIBER_OUTSIDE_TASK; AIOFIBER_NO_MEMORY.
int aiofiber_set_name(const char* name) AIOFIBER_C_NOEXCEPT;

// ---- semaphores -------------------------------------------------------------------------------------------

// A handle of a semaphore of the running loop: at most so many tasks at a time. All zero: none.
typedef struct aiofiber_semaphore {
  uint64_t place_;
  uint64_t serial_;
} aiofiber_semaphore;

// Makes a semaphore with `units`, 0 or more. It ends by aiofiber_semaphore_destroy(), or with the loop.
// Suspends: no. Source: asyncio.Semaphore.
// Errors: AIOFIBER_INVALID: negative, or `semaphore` is NULL; AIOFIBER_NO_LOOP; AIOFIBER_NO_MEMORY.
int aiofiber_semaphore_create(int64_t units, aiofiber_semaphore* semaphore) AIOFIBER_C_NOEXCEPT;

// Takes a unit, and waits for it if there is none. Tasks get it in the order in which they came.
// Suspends if it waits. Errors: AIOFIBER_CANCELLED: no unit was taken; AIOFIBER_INVALID; AIOFIBER_NO_LOOP;
// AIOFIBER_OUTSIDE_TASK; AIOFIBER_OTHER_LOOP; AIOFIBER_NO_MEMORY; AIOFIBER_LOOP_CLOSED.
int aiofiber_semaphore_acquire(aiofiber_semaphore semaphore) AIOFIBER_C_NOEXCEPT;

// The same, for at most `seconds`. Zero or less: does not suspend.
// Errors: those of aiofiber_semaphore_acquire(); AIOFIBER_TIMED_OUT: no unit was taken; AIOFIBER_INVALID:
// also NaN.
int aiofiber_semaphore_acquire_for(aiofiber_semaphore semaphore, double seconds) AIOFIBER_C_NOEXCEPT;

// Gives a unit back, to the first task that waits. Any task may, also one that took none.
// Suspends: no. Errors: AIOFIBER_INVALID; AIOFIBER_NO_LOOP; AIOFIBER_OTHER_LOOP; AIOFIBER_OVERFLOW.
int aiofiber_semaphore_release(aiofiber_semaphore semaphore) AIOFIBER_C_NOEXCEPT;

// Ends the handle. Suspends: no.
// Errors: AIOFIBER_BUSY: a task waits for it; AIOFIBER_INVALID: it has ended before; AIOFIBER_NO_LOOP;
// AIOFIBER_OTHER_LOOP.
int aiofiber_semaphore_destroy(aiofiber_semaphore semaphore) AIOFIBER_C_NOEXCEPT;

// ---- data of a task ---------------------------------------------------------------------------------------

// A key, under which each task has a pointer of its own, as each thread has with pthread_key_t. All zero:
// none.
typedef struct aiofiber_key {
  uint64_t place_;
  uint64_t serial_;
} aiofiber_key;

// Makes a key for all tasks of the process, at most 128 at a time. The pointer is NULL in each task. When a
// task's function has returned, destructor(pointer) is called in the task for each pointer that is not NULL;
// if destructors set pointers, up to four times. `destructor` may be NULL.
//
// Suspends: no. Any thread, also without a loop. Source: pthread_key_create(3). Errors: AIOFIBER_INVALID:
// `key` is NULL; AIOFIBER_EXHAUSTED.
int aiofiber_key_create(void (*destructor)(void*), aiofiber_key* key) AIOFIBER_C_NOEXCEPT;

// Ends the key. Pointers that tasks have under it are forgotten, without a call of the destructor.
// Suspends: no. Any thread, also without a loop. Errors: AIOFIBER_INVALID: it has ended before.
int aiofiber_key_delete(aiofiber_key key) AIOFIBER_C_NOEXCEPT;

// Sets the calling task's pointer. Suspends: no. Errors: AIOFIBER_INVALID: the key has ended;
// AIOFIBER_NO_LOOP; AIOFIBER_OUTSIDE_TASK: also a task that C++ code made; AIOFIBER_NO_MEMORY.
int aiofiber_set(aiofiber_key key, void* pointer) AIOFIBER_C_NOEXCEPT;

// The calling task's pointer. NULL if it was not set, and where aiofiber_set() gives an error. Suspends: no.
void* aiofiber_get(aiofiber_key key) AIOFIBER_C_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif  // AIOFIBER_H
