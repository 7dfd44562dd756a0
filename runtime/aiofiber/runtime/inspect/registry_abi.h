/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry block, through which a debugger, another process or a core reader finds every fiber.
 *
 * A versioned, language-neutral layout of plain integers. It is read from outside while the program runs, at
 * any instruction, so the order of writes keeps it walkable. A chunk is filled before it is counted, records
 * never move and are never unmapped, and each record has a sequence lock. The layout is append-only: a reader
 * takes the sizes from the block itself and ignores fields that it does not know.
 *
 * Readers find it by the symbol `aiofiber_debug_registry`, or in a stripped program by the ELF note
 * "aiofiber", type 1. The note's 8 bytes are the registry's address relative to their own.
 */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AIOFIBER_REGISTRY_MAGIC "AIOFIBR"
#define AIOFIBER_REGISTRY_VERSION 1
#define AIOFIBER_REGISTRY_CHUNKS 16384

/* The state of a fiber, and the queue that holds it then. */
enum aiofiber_state {
  AIOFIBER_FREE = 0,    /* the record is unused */
  AIOFIBER_NEW = 1,     /* created, never ran, has no stack yet; in the ready queue */
  AIOFIBER_READY = 2,   /* suspended, in the ready queue */
  AIOFIBER_RUNNING = 3, /* on the CPU of its loop's thread */
  AIOFIBER_WAITING = 4, /* suspended; held by the object that will wake it */
};

/* What a fiber waits for, and the meaning of wait_arg. */
enum aiofiber_wait {
  AIOFIBER_WAIT_NONE = 0,
  AIOFIBER_WAIT_SLEEP = 1, /* the deadline in ns of the loop's clock */
  AIOFIBER_WAIT_FD = 2,   /* fd << 32 | others << 8 | events: 1 readable, 2 writable, 0 unknown; `others`: how
                             many more it waits for */
  AIOFIBER_WAIT_TASK = 3, /* id of the awaited fiber */
  AIOFIBER_WAIT_FUTURE = 4,  /* address of the future */
  AIOFIBER_WAIT_OFFLOAD = 5, /* 0: work on the offload pool */
  AIOFIBER_WAIT_OTHER = 6,   /* address of what it waits for */
  /* A wait for other fibers through a future. The argument is an address that equals watched_by of those
     fibers. A reader shows kinds that it does not know as OTHER. */
  AIOFIBER_WAIT_GATHER = 7,
  AIOFIBER_WAIT_SHIELD = 8,
  AIOFIBER_WAIT_SEVERAL = 9, /* wait() */
  AIOFIBER_WAIT_AS_COMPLETED = 10,
  AIOFIBER_WAIT_TASK_GROUP = 11,
  /* Address of the object: the same for all its waiters. 0: not known (a lock of abseil). */
  AIOFIBER_WAIT_LOCK = 12,
  AIOFIBER_WAIT_EVENT = 13,
  AIOFIBER_WAIT_CONDITION = 14,
  AIOFIBER_WAIT_SEMAPHORE = 15,
  AIOFIBER_WAIT_QUEUE_GET = 16,
  AIOFIBER_WAIT_QUEUE_PUT = 17,
  AIOFIBER_WAIT_THREAD = 18, /* address of the function that is called on another thread; 0: not known */
  AIOFIBER_WAIT_QUEUE_JOIN = 19,
  AIOFIBER_WAIT_BARRIER = 20,
  AIOFIBER_WAIT_FILE_LOCK = 21,  /* fd << 32 */
  AIOFIBER_WAIT_PROCESS = 22,    /* the id of the child process; 0: any child */
  AIOFIBER_WAIT_THREAD_END = 23, /* the OS thread that is joined; 0: not known */
};

/* wait_owner of a fiber that waits for a lock: the address of the words that name the lock's owner, with one
   of these in its two lowest bits. The words are always up to date. 0: no single owner, or not known. */
enum aiofiber_owner_form {
  AIOFIBER_OWNER_ID = 0, /* a uint64: the id of a fiber, or AIOFIBER_OWNER_IS_THREAD | OS thread; 0: nobody */
  AIOFIBER_OWNER_THREAD =
      1, /* an int32: the OS thread, 0: nobody; and 16 bytes after it a uint64: the id of the owner, a fiber
            of that thread. No such fiber: the thread itself or a callback of its loop is the owner */
};
#define AIOFIBER_OWNER_FORM_MASK UINT64_C(3)
#define AIOFIBER_OWNER_IS_THREAD (UINT64_C(1) << 63)

struct aiofiber_record {
  uint64_t seq;       /* even: stable. odd: running, or being changed */
  uint64_t id;        /* unique in the process, never reused */
  uint64_t fcontext;  /* the saved context while suspended: layout see ctx_layout */
  uint64_t stack_low; /* the guard lies below (older programs: is included); 0 while the fiber has no stack */
  uint64_t stack_high;
  uint64_t entry;     /* address of the user's function, for fibers that have not started */
  uint32_t state;     /* enum aiofiber_state */
  uint32_t wait_kind; /* enum aiofiber_wait */
  uint64_t wait_arg;
  int64_t wait_since_ns; /* loop's clock as of the last poll */
  int64_t created_ns;
  uint64_t switches;    /* how often it was resumed */
  uint64_t spawner;     /* id of the fiber that created it; 0: the loop */
  uint64_t name_number; /* N of "Task-N" while name is empty */
  uint32_t tid;         /* the OS thread of its loop */
  uint32_t locks_held;  /* number of C library locks that it holds, in debug mode; else 0 */
  char name[32];        /* NUL-terminated, cut if longer */
  uint64_t watched_by; /* wait_arg of the fibers that wait for this one through a gather and so on; 0: none */
  uint64_t wait_owner; /* in a wait for a LOCK: where its owner is written, see enum aiofiber_owner_form */
  uint64_t wait_limit; /* when a limit ends the wait, in ns of the loop's clock; 0: there is none */
  uint64_t coroutines; /* address of the newest aiofiber_coroutines; 0: there is none */
};

/* C++20 coroutines that await each other, and that one place of the fiber resumes: its stack, or, for a fiber
   without a stack, its loop. Coroutines have no stack: these records say where they are suspended. All of it
   is memory of the program, valid while the fiber is suspended. */
struct aiofiber_coroutines {
  uint64_t outer;     /* the aiofiber_coroutines further out on the same fiber; 0: there is none */
  uint64_t innermost; /* of an aiofiber_coroutine; 0: none has begun */
  uint64_t stack; /* they belong between the stack frames below and above this address. An address that is not
                     on the fiber's stack, also 0: they are its outermost calls. The lowest bits: see below */
};
/* Bits of `stack`. The innermost coroutine runs: its code is one of the frames below, and its place is old.
 */
#define AIOFIBER_COROUTINE_RUNS UINT64_C(1)
/* They run on the stack of the loop: the frames above the address are not the fiber's. */
#define AIOFIBER_COROUTINES_ON_LOOP UINT64_C(2)
#define AIOFIBER_COROUTINES_FLAGS UINT64_C(7)

struct aiofiber_coroutine {
  uint64_t caller; /* of the aiofiber_coroutine that awaits this one; 0: there is none */
  uint64_t frame;  /* of the coroutine's frame, which begins with the address of its code */
  uint64_t place;  /* of an aiofiber_place: where it was suspended last; 0: not yet */
};

/* A place in the source, as compilers write it for std::source_location. Constant. */
struct aiofiber_place {
  uint64_t file;     /* of a NUL-terminated name */
  uint64_t function; /* the same; not used, because its form depends on the compiler */
  uint32_t line;
  uint32_t column;
};

#define AIOFIBER_REGISTRY_LOOPS 64

/* A running loop. The addresses point into its own memory, which may be unmapped when they are read. */
struct aiofiber_loop {
  uint32_t tid;          /* the OS thread; 0: the entry is free */
  uint32_t is_virtual;   /* 1: its clock is virtual */
  uint64_t last_poll_at; /* of an int64: when it last looked at its clock */
  uint64_t polling_at;   /* of a byte: 1 while it sleeps or asks the kernel */
};

struct aiofiber_registry {
  char magic[8];
  uint32_t version;
  uint32_t size;          /* of this struct */
  uint32_t record_size;   /* of struct aiofiber_record */
  uint32_t record_stride; /* distance of two records of a chunk */
  uint32_t chunk_records;
  uint32_t arch;         /* ELF e_machine */
  uint32_t ctx_layout;   /* bytes from fcontext to the saved return address */
  uint32_t chunk_count;  /* valid entries of chunks; only grows */
  uint64_t last_tick_ns; /* the latest clock reading of any loop: "now" for a core file */
  uint64_t chunks[AIOFIBER_REGISTRY_CHUNKS];
  uint64_t features; /* 0: not used yet. This and later fields are valid only if `size` includes them */
  struct aiofiber_loop loops[AIOFIBER_REGISTRY_LOOPS]; /* the running loops, as many as fit */
};

extern struct aiofiber_registry aiofiber_debug_registry;

#ifdef __cplusplus
}
#endif
