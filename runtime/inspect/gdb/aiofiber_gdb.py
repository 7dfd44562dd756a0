# SPDX-License-Identifier: Apache-2.0
"""gdb's commands for the tasks of a program that links aiofiber: `info tasks`, `task`. For processes and for cores.

The build puts this text into the section .debug_gdb_scripts of each such program, and gdb runs it when it reads the
program (`add-auto-load-safe-path` allows it). It reads the registry block (registry_abi.h) and the stacks, and writes
nothing: no register, no memory, no call into the program.

A suspended task is shown by an unwinder: while one is selected, it says that the innermost frame of the thread was
called by the task, with the registers that its saved context holds. gdb then walks on by itself, so `bt`, `frame`, `up`,
`info locals` and the pretty-printers do what they do in a thread. A frame filter keeps the thread's own frame out of `bt`,
and shows suspended C++20 coroutines between the frames. They are on no stack, so they have no number there.
"""
import collections
import re
import struct

import gdb
import gdb.unwinder
from gdb.FrameDecorator import FrameDecorator

VERSION = 1
HEADER = struct.Struct("<8s8IQ")       # struct aiofiber_registry before its chunks
RECORD = struct.Struct("<6Q2IQ2q3Q2I32s")  # struct aiofiber_record, its oldest part
WATCHED_BY_AT = RECORD.size            # of watched_by; older programs do not have it
OWNER_AT = WATCHED_BY_AT + 8           # of wait_owner, as well
LIMIT_AT = OWNER_AT + 8                # of wait_limit, as well
COROUTINES_AT = LIMIT_AT + 8           # of coroutines, as well
COROUTINE_RUNS, ON_LOOP = 1, 2         # bits of aiofiber_coroutines.stack
MOST_COROUTINES = 2048                 # that are followed
FREE, NEW, READY, RUNNING, WAITING = range(5)
STATES = ["free", "new", "ready", "on CPU", "waiting"]
EVENTS = ("", " readable", " writable", " readable or writable")
# The words of kWaitKinds in aiofiber/runtime/inspect/wait_kind.h, in its order (a test compares them).
WAITS = ["", "sleep", "fd", "task", "future", "a call on the thread pool", "something", "gather", "shield", "wait",
         "as_completed", "task group", "lock", "event", "condition", "semaphore", "an item in the queue",
         "room in the queue", "a call on another thread", "the last item of the queue to be done", "barrier", "a lock on fd",
          "process", "the end of thread"]
THROUGH_WATCH = range(7, 12)           # those whose wait_arg is the watched_by of the awaited tasks
NAMES_SHOWN = 3                        # of tasks that are awaited together
OFFLOAD = 5
SLEEP, FD, TASK, OTHER, LOCK, THREAD, FILE_LOCK, PROCESS, THREAD_END = 1, 2, 3, 6, 12, 18, 21, 22, 23
GUARD_BYTES = 64 * 1024                # below a stack, at least: a thread that overflowed it stands there
OWNER_ID, OWNER_THREAD, IS_THREAD = 0, 1, 1 << 63  # enum aiofiber_owner_form
# Frames of these functions are not the program's own.
PLUMBING = ("aiofiber", "std::__invoke", "std::invoke", "std::apply", "std::__apply", "std::function", "std::_Function_handler",
            "jump_fcontext", "make_fcontext", "std::coroutine_handle<", "std::__n4861::coroutine_handle<")
THUNK = re.compile(r"(non-)?virtual thunk to ")
PLUMBING_LINKAGE = re.compile(r"_ZZ*NK?8aiofiber")
PLUMBING_FILE = re.compile(r"(?<!tests/)runtime/hooks/|/aiofiber/(runtime/(\w+/)*)?\w+\.h$|/usr/include/")
PLUMBING_MODULE = re.compile(r"/lib(c|m|pthread|stdc\+\+|c\+\+|gcc_s)\.so[^/]*$")
RED_ZONE = 128
BRACKETS = {"(": 1, "<": 1, "{": 1, ")": -1, ">": -1, "}": -1}
CLOSURE = re.compile(r"\{lambda\(|<lambda\(|\$_\d+$")  # the type of a lambda, as g++, clang and demanglers spell it
LAMBDA = "{lambda}"                    # as a lambda is called here
ACTOR = re.compile(r"\b(_Z\w+)\.Frame\b")
CLONE = re.compile(r"( \[clone [^]]*\])+$")
CALL = re.compile(r"operator\(\)|_FUN\b|__invoke\b")   # the functions of such a type


def read(address, size):
    if size == 0:
        return b""  # newer gdbs take that for an error
    return bytes(gdb.selected_inferior().read_memory(address, size))


def is_core():
    connection = getattr(gdb.selected_inferior(), "connection", None)  # since gdb 11
    return connection is not None and connection.type == "core"


# The registers of a processor: the names of the program counter and of the stack pointer, and what Boost.Context saves
# before the address to continue at. Behind that address, the stack is aligned to `alignment` bytes.
Processor = collections.namedtuple("Processor", "pc sp saved alignment")
PROCESSORS = {  # by the machine's number in ELF files
    62: Processor("rip", "rsp", ("r12", "r13", "r14", "r15", "rbx", "rbp"), 8),
    183: Processor("pc", "sp", tuple("x%d" % i for i in range(19, 31)), 16),
}


class Registry:
    """The header of the registry block, checked. Errors: GdbError when there is none that this script knows."""

    def __init__(self):
        try:
            self.address = int(gdb.parse_and_eval("&aiofiber_debug_registry"))
        except gdb.error:
            raise gdb.GdbError("No aiofiber program: it has no symbol aiofiber_debug_registry. Load the program with "
                               "`file`; of a stripped one, its debug file with `symbol-file`.")
        try:
            (magic, self.version, _, self.record_size, self.record_stride, self.chunk_records, self.arch, self.layout,
             self.chunk_count, self.last_tick_ns) = HEADER.unpack(read(self.address, HEADER.size))
        except gdb.MemoryError:
            raise gdb.GdbError("The registry of tasks cannot be read: is the core truncated?")
        if magic == bytes(8) and not is_core():
            return  # the program has not begun: its first code writes the header. No tasks
        if magic != b"AIOFIBR\0":
            raise gdb.GdbError("There is no registry of tasks where it should be: is this the program that dumped the core?")
        if self.version != VERSION or self.record_size < RECORD.size:
            raise gdb.GdbError("The program's registry has version %d, these commands know version %d: use those of the "
                               "aiofiber that it was built with." % (self.version, VERSION))
        if self.arch not in PROCESSORS:
            raise gdb.GdbError("The task commands know x86-64 and AArch64 only.")
        self.processor = PROCESSORS[self.arch]

    def tasks(self):
        """All that are not free, by id."""
        chunks = struct.unpack("<%dQ" % self.chunk_count, read(self.address + HEADER.size, 8 * self.chunk_count))
        found = []
        for chunk in chunks:
            try:
                memory = read(chunk, self.record_stride * self.chunk_records)
            except gdb.MemoryError:
                continue  # cut off in a truncated core
            for i in range(self.chunk_records):
                at = i * self.record_stride
                task = Task(self, RECORD.unpack_from(memory, at))
                if self.record_size >= WATCHED_BY_AT + 8:
                    task.watched_by = struct.unpack_from("<Q", memory, at + WATCHED_BY_AT)[0]
                if self.record_size >= OWNER_AT + 8:
                    task.wait_owner = struct.unpack_from("<Q", memory, at + OWNER_AT)[0]
                if self.record_size >= LIMIT_AT + 8:
                    task.wait_limit = struct.unpack_from("<Q", memory, at + LIMIT_AT)[0]
                if self.record_size >= COROUTINES_AT + 8:
                    task.newest_coroutines = struct.unpack_from("<Q", memory, at + COROUTINES_AT)[0]
                if task.state != FREE and task.id != 0:
                    found.append(task)
        found.sort(key=lambda task: task.id)
        self.watched = {}  # what a gather and so on awaits, by the object
        for task in found:
            self.watched.setdefault(task.watched_by, []).append(task)
        return found


class Task:
    def __init__(self, registry, fields):
        self.registry = registry
        self.watched_by = self.wait_owner = self.wait_limit = self.newest_coroutines = 0
        (self.seq, self.id, self.fcontext, self.stack_low, self.stack_high, self.entry, self.state, self.wait_kind,
         self.wait_arg, self.wait_since_ns, _, self.switches, _, number, self.tid, _, name) = fields
        self.name = name.split(b"\0")[0].decode(errors="replace") or "Task-%d" % (number or self.id)
        # A name must not write on the terminal.
        self.name = "".join(c if c.isprintable() else "?" for c in self.name)

    def is_suspended(self):
        return (self.seq % 2 == 0 and self.state in (READY, WAITING) and
                self.stack_low <= self.fcontext < self.stack_high - self.registry.layout)

    def is_fresh(self):
        return self.state == NEW and self.seq % 2 == 0

    def is_stackless(self):
        """A task of coroutines, which has a stack only while it borrows one."""
        return self.stack_high == 0 and self.state != NEW

    def coroutines(self):
        """Those that are suspended, innermost first; as far as they can be read."""
        found, seen, newest = [], set(), self.newest_coroutines
        try:
            while newest != 0 and newest not in seen and len(seen) < 2 * MOST_COROUTINES:
                seen.add(newest)
                newest, at, stack = struct.unpack("<3Q", read(newest, 24))
                runs = stack & COROUTINE_RUNS != 0
                while at != 0 and at not in seen and len(found) < MOST_COROUTINES:
                    seen.add(at)
                    at, frame, place = struct.unpack("<3Q", read(at, 24))
                    code = struct.unpack("<Q", read(frame, 8))[0] if frame else 0
                    file, line = struct.unpack("<Q8xI", read(place, 20)) if place and not runs else (0, 0)
                    if code != 0:
                        found.append(CoroutineCall(code, file, line, stack, runs))
                    runs = False
        except gdb.MemoryError:
            pass
        return found

    def registers(self):
        """What Boost.Context saved: some registers and, behind them, the return address."""
        processor, where = self.registry.processor, self.fcontext + self.registry.layout
        names = processor.saved + (processor.pc,)
        try:
            words = struct.unpack("<%dQ" % len(names), read(where - 8 * len(processor.saved), 8 * len(names)))
        except gdb.MemoryError:
            words = (0,)
        if words[-1] == 0:  # gcore writes zeros for what it could not read
            raise gdb.GdbError("The stack of task %d is not in the core. gdb's gcore leaves out all but the first 4,096 "
                               "stacks: let the kernel write the core." % self.id)
        saved = dict(zip(names, words))
        saved[processor.sp] = (where + 8 + processor.alignment - 1) // processor.alignment * processor.alignment
        return saved

    def thread(self):
        """The thread whose stack pointer is on the task's stack; of a task without one its loop's; None: there is none."""
        if self.is_stackless():
            return next((t for t in gdb.selected_inferior().threads() if t.ptid[1] == self.tid), None)
        with KeptSelection():
            for thread in gdb.selected_inferior().threads():
                thread.switch()
                if self.stack_low - GUARD_BYTES <= int(gdb.newest_frame().read_register(self.registry.processor.sp)) < self.stack_high:
                    return thread
        return None

    def held_by(self, tasks):
        """Who has the lock that the task waits for, as ", held by ..."; empty when nobody has it alone, or it is not known."""
        address, form = self.wait_owner & ~3, self.wait_owner & 3
        if address == 0:
            return ""
        try:
            if form == OWNER_ID:
                word = struct.unpack("<Q", read(address, 8))[0]
                tid, owner = (word & 0xffffffff, 0) if word & IS_THREAD else (0, word)
            elif form == OWNER_THREAD:
                tid, owner = struct.unpack("<i12xQ", read(address, 24))
            else:
                return ""
        except gdb.MemoryError:
            return ""
        if owner == self.id:
            return ", held by itself"
        known = tasks.get(owner)
        if known is not None and owner != 0 and tid in (0, known.tid):
            return ', held by task %d "%s"' % (owner, known.name)
        if tid != 0:
            return ", held by thread %d" % tid
        return ", held by task %d (ended)" % owner if owner else ""

    def limit_text(self):
        """When a limit ends the wait, as ", limit in 1.50 s"; of a sleep, if that is before its own end."""
        if self.wait_limit == 0 or (self.wait_kind == SLEEP and self.wait_arg <= self.wait_limit):
            return ""
        return ", limit in %.2f s" % (max(self.wait_limit - self.registry.last_tick_ns, 0) / 1e9)

    def waits_for(self, tasks):
        if self.state != WAITING or self.seq % 2:
            return ""
        what = self.what_is_waited_for(tasks)
        return what + self.limit_text() if what else ""

    def what_is_waited_for(self, tasks):
        if self.wait_kind == SLEEP:
            left = (self.wait_arg - self.registry.last_tick_ns) / 1e9
            return "sleep" if self.wait_arg >= 2**63 - 1 else "sleep, %.2f s left" % max(left, 0)
        if self.wait_kind == FD:
            others = (self.wait_arg & 0xffffffff) >> 8
            return "fd %d%s" % (self.wait_arg >> 32, EVENTS[self.wait_arg & 3]) + (" and %d more" % others if others else "")
        if self.wait_kind == FILE_LOCK:
            return "%s %d" % (WAITS[FILE_LOCK], self.wait_arg >> 32)
        if self.wait_kind in (PROCESS, THREAD_END):
            return WAITS[self.wait_kind] + (" %d" % self.wait_arg if self.wait_arg else "")
        if self.wait_kind == TASK:
            awaited = tasks.get(self.wait_arg)
            return "task %d" % self.wait_arg + (' "%s"' % awaited.name if awaited is not None else "")
        if self.wait_kind == THREAD and self.wait_arg != 0:
            return WAITS[THREAD] + ": " + called_function(self.wait_arg)
        if self.wait_kind == LOCK:
            return "lock at %#x" % self.wait_arg + self.held_by(tasks) if self.wait_arg else WAITS[LOCK]
        what = WAITS[self.wait_kind if self.wait_kind < len(WAITS) else OTHER]
        if self.wait_kind in THROUGH_WATCH:
            return what + self.watched_text()
        return what + (" at %#x" % self.wait_arg if self.wait_arg and self.wait_kind not in (OFFLOAD, THREAD) else "")

    def watched_text(self):
        """What a gather and so on awaits, as ' of tasks 3 "a", 4 "b"'; empty if they are not tasks."""
        watched = self.registry.watched.get(self.wait_arg, [])
        if self.wait_arg == 0 or not watched:
            return ""
        names = ", ".join('%d "%s"' % (task.id, task.name) for task in watched[:NAMES_SHOWN])
        more = " and %d more" % (len(watched) - NAMES_SHOWN) if len(watched) > NAMES_SHOWN else ""
        return (" of task " if len(watched) == 1 else " of tasks ") + names + more

    def doing(self, tasks):
        if self.seq % 2 and self.state != NEW:
            return "on CPU"
        waits = self.waits_for(tasks)
        state = STATES[self.state] if self.state < len(STATES) else "state %d" % self.state
        return state + (" for " + waits if waits else "")

    def entry_text(self):
        name = symbol_at(self.entry)
        return without_return_type(without_parameters(name)) if ACTOR.search(name) else CLONE.sub("", name)


class CoroutineCall:
    """A suspended coroutine: the function whose code is at `code`, at a line of the file whose name is at `file`."""

    def __init__(self, code, file, line, stack, runs):
        self.code, self.file, self.line, self.runs = code, file, line, runs
        self.stack, self.on_loop = stack & ~7, stack & ON_LOOP != 0

    def name(self):
        return without_return_type(without_parameters(symbol_at(self.code)))

    def is_plumbing(self):
        return self.name().startswith(PLUMBING)

    def place(self):
        """File and line; where the function begins, when it has not started; ("", 0) when unknown."""
        try:
            if self.line != 0:
                return gdb.Value(self.file).cast(gdb.lookup_type("char").const().pointer()).string(errors="replace"), self.line
        except gdb.error:
            pass
        begin = gdb.find_pc_line(self.code)
        return (begin.symtab.filename, begin.line) if begin.symtab else ("", 0)

    def text(self):
        """As "function (file:line)"."""
        file, line = self.place()
        return self.name() + (" (%s:%d)" % (file.split("/")[-1], line) if line else "")

    def is_newer_than(self, frame, task):
        """Whether a stack frame of the task has awaited it, directly or not."""
        on_stack = task.is_stackless() or task.stack_low <= self.stack < task.stack_high
        return on_stack and self.stack < int(frame.read_register(task.registry.processor.sp))


class KeptSelection:
    """Goes back to the thread, the task and the frame that were selected."""

    def __enter__(self):
        self.thread, self.task, self.before = gdb.selected_thread(), unwinder.task, unwinder.before
        self.level = gdb.selected_frame().level() if self.thread is not None else 0
        unwinder.leave()

    def __exit__(self, *_):
        unwinder.leave()
        if self.thread is None or not self.thread.is_valid():
            return
        self.thread.switch()
        if self.task is not None:
            unwinder.enter(self.task)
            unwinder.before = self.before
        frame = gdb.newest_frame()
        while frame.level() < self.level:
            frame = frame.older()
        frame.select()


def is_plumbing(frame):
    """Whether a frame is of aiofiber or of the libraries of C and C++; also one without a name."""
    name = frame.name()
    if not name or THUNK.sub("", name).startswith(PLUMBING):
        return True
    if PLUMBING_MODULE.search(gdb.solib_name(frame.pc()) or ""):
        return True
    function = frame.function()  # a lambda is called "operator()": its linkage name, or its file, says whose it is
    if function is None:
        return False
    # For an inlined function, function.symtab is the file that it is inlined into; the line has its own file.
    place = frame.find_sal().symtab or function.symtab
    return bool(PLUMBING_LINKAGE.match(function.linkage_name or "")) or bool(PLUMBING_FILE.search(place.filename))


def program_frame(frame):
    """From `frame` outwards, the first that is the program's own; None without one."""
    while frame is not None and is_plumbing(frame):
        frame = frame.older()
    return frame


def components(name):
    """The parts of a qualified name: "f(int)", "{lambda()#1}", "operator()() const"."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(name):
        depth += BRACKETS.get(c, 0)
        if depth == 0 and name.startswith("::", i):
            parts.append(name[start:i])
            start = i + 2
    return parts + [name[start:]]


def lambda_name(name):
    """For the call of a lambda the function that it is in: "main::{lambda}", lambdas in lambdas included; else None."""
    parts = components(name)
    if len(parts) == 1 and CALL.match(name):
        return LAMBDA  # as gdb reads g++'s, without a scope
    first = next((i for i, part in enumerate(parts) if CLOSURE.match(part)), 0)
    if first == 0 or not CALL.match(parts[-1]) or not all(CLOSURE.match(part) or CALL.match(part) for part in parts[first:]):
        return None
    scope = [part if part.startswith("(") else part.split("(")[0] for part in parts[:first]]
    if "<" not in scope[0] and not scope[0].startswith("("):
        scope[0] = scope[0].split(" ")[-1]  # before it stood the type that a template returns
    return "::".join(scope + [LAMBDA])


def symbol_at(address):
    return gdb.execute("info symbol %#x" % address, to_string=True).split(" in section ")[0].strip()


def line_at(address):
    """Where the function at `address` begins, as " (file:line)"; empty without debug information."""
    line = gdb.find_pc_line(address)
    return " (%s:%d)" % (line.symtab.filename.split("/")[-1], line.line) if line.symtab else ""


def called_function(address):
    """What is called, in a line of text: "load()", "main::{lambda} (main.cc:12)"."""
    name = without_parameters(symbol_at(address))
    return name + line_at(address) if name.endswith(LAMBDA) else name + "()"


def short_name(frame):
    """The function's name without the types of its parameters, which gdb gives for some and not for others; or None."""
    name = frame.name()
    if name is None:
        return None
    short = without_parameters(name)
    if ACTOR.search(name):
        return without_return_type(short)
    if short == LAMBDA and frame.type() == gdb.NORMAL_FRAME:  # the symbol tables know its function
        of_symbol = without_parameters(symbol_at(frame.function().value().address))
        short = of_symbol if of_symbol.endswith(LAMBDA) else short
    return short


def without_return_type(name):
    """The demangled names of templates begin with it."""
    depth, start = 0, 0
    for i, c in enumerate(name):
        depth += BRACKETS.get(c, 0)
        if c == " " and depth == 0:
            start = i + 1
    return name if "operator" in name else name[start:]


def without_parameters(name):
    actor = ACTOR.search(name)
    if actor is not None:  # g++'s function for the code of a coroutine: its parameter has the coroutine's own name
        name = gdb.execute("demangle -l c++ -- " + actor.group(1), to_string=True).strip()
    name = CLONE.sub("", name)
    called = lambda_name(name)
    if called is not None:
        return called
    if name.endswith(") const"):
        name = name[:-len(" const")]
    if not name.endswith(")") or name.endswith("operator()"):
        return name
    depth = 0
    for i in range(len(name) - 1, 0, -1):
        depth += {")": 1, "(": -1}.get(name[i], 0)
        if depth == 0:
            return name[:i]
    return name


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


class TaskUnwinder(gdb.unwinder.Unwinder):
    """Says of one thread's innermost frame that a suspended task called it. At rest while no task is selected."""

    def __init__(self):
        super().__init__("aiofiber")
        self.task = None      # the selected one, while it is a suspended one
        self.running = None   # the selected one, while it is a running one
        self.saved = {}       # its registers
        self.thread = None    # ptid of the thread that lends its innermost frame
        self.innermost = ()   # program counter and stack pointer of that thread
        self.level = None     # of the frame that was claimed, once it is; calls inlined into it have lower ones
        self.before = None    # the thread that was selected before the first task

    def enter(self, task):
        """Selects `task`, in the newest frame that is not aiofiber's. Errors: GdbError when its stack cannot be read."""
        saved = task.registers()
        before = self.before if self.task is not None else gdb.selected_thread()
        self.leave()
        for thread in gdb.selected_inferior().threads():  # thread_locals are those of the loop's thread
            if thread.ptid[1] == task.tid:
                thread.switch()
        frame = gdb.newest_frame()
        processor = task.registry.processor
        self.innermost = (int(frame.read_register(processor.pc)), int(frame.read_register(processor.sp)))
        self.task, self.saved, self.level = task, saved, None
        self.thread, self.before = gdb.selected_thread().ptid, before
        gdb.invalidate_cached_frames()
        frame = gdb.newest_frame()
        while frame is not None and (self.level is None or frame.level() <= self.level):
            frame = frame.older()
        if frame is None:
            self.leave()
            raise gdb.GdbError("The stack of task %d cannot be walked." % task.id)
        (program_frame(frame) or frame).select()

    def enter_thread(self, task, thread):
        """Selects the thread that runs `task`, which is then in `running` as long as the thread is selected."""
        self.leave()
        thread.switch()
        gdb.newest_frame().select()
        self.running, self.thread = task, thread.ptid

    def shown(self):
        """The task whose frames `bt` shows; None: the thread's own."""
        thread = gdb.selected_thread()
        return (self.task or self.running) if thread is not None and thread.ptid == self.thread else None

    def leave(self):
        self.running = None
        if self.task is not None:
            self.task = None
            gdb.invalidate_cached_frames()
            if gdb.selected_thread() is not None:
                gdb.newest_frame().select()

    def is_active(self):
        thread = gdb.selected_thread()
        return self.task is not None and thread is not None and thread.ptid == self.thread

    def __call__(self, pending):
        if not self.is_active():
            return None
        processor = self.task.registry.processor
        pc, sp = pending.read_register(processor.pc), pending.read_register(processor.sp)
        if (int(pc), int(sp)) != self.innermost:
            return None
        self.level = pending.level()
        # gdb refuses a caller that lies lower than its callee: the claimed frame gets an identity below the task's.
        word = gdb.selected_inferior().architecture().integer_type(64, False)
        info = pending.create_unwind_info(FrameId(gdb.Value(self.saved[processor.sp] - RED_ZONE).cast(word), pc))
        for name, value in self.saved.items():
            info.add_saved_register(name, gdb.Value(value).cast(word).cast(pending.read_register(name).type))
        return info


class TaskFrame(FrameDecorator):
    def function(self):
        return short_name(self.inferior_frame()) or super().function()


class CoroutineFrame(FrameDecorator):
    """A suspended coroutine in a backtrace, below the stack frame `newer`."""

    def __init__(self, newer, coroutine):
        super().__init__(newer)
        self.coroutine = coroutine

    def function(self):
        return self.coroutine.name()

    def filename(self):
        return self.coroutine.place()[0] or None

    def line(self):
        return self.coroutine.place()[1] or None

    def address(self):
        return None

    def frame_args(self):
        return None

    def frame_locals(self):
        return None


class OwnFrameFilter:
    """Of a selected task: keeps the thread's own frame out of the backtrace, and adds suspended coroutines."""

    name = "aiofiber"
    priority = 1000
    enabled = True

    def filter(self, frames):
        task = unwinder.shown()
        if task is None:
            return frames
        coroutines = task.coroutines()
        if not coroutines and not unwinder.is_active():
            return frames
        own = (unwinder.level or 0) if unwinder.is_active() else -1
        frames = (TaskFrame(frame) for frame in frames if frame.inferior_frame().level() > own)
        return self.merge(frames, coroutines, task) if coroutines else frames

    @staticmethod
    def merge(frames, coroutines, task):
        newer = None
        for frame in frames:
            loop_follows = False
            while newer is not None and coroutines and coroutines[0].is_newer_than(frame.inferior_frame(), task):
                coroutine = coroutines.pop(0)
                loop_follows = coroutine.on_loop
                if not coroutine.runs:
                    yield CoroutineFrame(newer, coroutine)
            if loop_follows:
                return
            yield frame
            newer = frame.inferior_frame()
        for coroutine in coroutines:
            if newer is not None and not coroutine.runs:
                yield CoroutineFrame(newer, coroutine)


unwinder = TaskUnwinder()


def find_tasks(words):
    """The tasks of a list of ids. Errors: GdbError for what is no id, and for tasks that are not there."""
    by_id = {task.id: task for task in Registry().tasks()}
    for word in words:
        if not word.isdigit():
            raise gdb.GdbError('"%s" is not the id of a task: `info tasks` lists them.' % word)
        if int(word) not in by_id:
            raise gdb.GdbError("There is no task %s: it has ended, or never was. `info tasks` lists them." % word)
    return [by_id[int(word)] for word in words]


def need_thread():
    if gdb.selected_thread() is None:
        raise gdb.GdbError("The program is not running: start it, attach to it, or load a core.")


def select(task):
    """Makes `task` what the commands of gdb are about; of a running one, its thread. Errors: GdbError."""
    need_thread()
    if task.is_suspended():
        unwinder.enter(task)
    elif task.is_stackless() and task.seq % 2 == 0:
        raise gdb.GdbError("Task %d has no stack, so `bt` cannot show it. Its coroutines, innermost first:\n%s" %
                           (task.id, "\n".join("#%-3d%s" % each for each in enumerate(
                               call.text() for call in task.coroutines() if not call.is_plumbing()))))
    elif task.is_fresh():
        raise gdb.GdbError("Task %d has not started: it has no stack. It will run %s." % (task.id, task.entry_text()))
    else:
        thread = task.thread()
        if thread is None:
            raise gdb.GdbError("Task %d is in the middle of a switch: let the program run a few instructions more." % task.id)
        unwinder.enter_thread(task, thread)


def where(task):
    """What the program does in the task, as "function (file:line)"; empty when it is not to be seen."""
    call = next((call for call in task.coroutines() if not call.runs and not call.is_plumbing()), None)
    if call is not None and task.is_stackless() and task.seq % 2 == 0:
        return call.text()
    try:
        select(task)
        frame = program_frame(gdb.selected_frame())
    except (gdb.error, gdb.GdbError):
        return ""
    if call is not None and (frame is None or call.is_newer_than(frame, task)):
        return call.text()
    if frame is None:  # a function that ends in a tail call is not on the stack during that call
        known = task.entry and task.is_suspended()
        return without_parameters(task.entry_text()) + line_at(task.entry) if known else ""
    line = frame.find_sal()
    return short_name(frame) + (" (%s:%d)" % (line.symtab.filename.split("/")[-1], line.line) if line.symtab else "")


class InfoTasks(gdb.Command):
    """The tasks of an aiofiber program: id, thread, name, state, what it waits for, where it is.

Usage: info tasks"""

    def __init__(self):
        super().__init__("info tasks", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        tasks = Registry().tasks()
        if not tasks:
            print("No tasks.")
            return
        by_id = {task.id: task for task in tasks}
        selected = unwinder.task.id if unwinder.is_active() else 0
        rows = [("", "Id", "Thread", "Name", "State", "Where")]
        with KeptSelection():
            for task in tasks:
                place = where(task) if gdb.selected_thread() is not None else ""
                rows.append(("*" if task.id == selected else "", str(task.id), str(task.tid), '"%s"' % task.name,
                             task.doing(by_id), place))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for row in rows:
            print(" ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


class TaskCommand(gdb.Command):
    """Selects a task of an aiofiber program, as `thread` selects a thread.

Usage: task ID
Then `bt`, `up`, `frame N`, `info locals` are about that task; the frame that is selected first is the newest one that
is not aiofiber's own. Nothing in the program is changed. The selection ends when the program goes on, with `task off`
(also `task main`), or with the next `task ID`.

task        says which one is selected
task off    goes back to the thread
task apply  runs a command in several tasks"""

    def __init__(self):
        super().__init__("task", gdb.COMMAND_STACK, prefix=True)

    def invoke(self, argument, from_tty):
        words = argument.split()
        if not words:
            task = unwinder.task if unwinder.is_active() else None
            print('[Current task is %d "%s"]' % (task.id, task.name) if task else "No task is selected.")
            return
        if len(words) > 1:
            raise gdb.GdbError("One task, please: `task %s`, or `task apply %s COMMAND`." % (words[0], words[0]))
        task = find_tasks(words)[0]
        select(task)
        print('[Switching to task %d "%s"]' % (task.id, task.name))
        gdb.execute("frame")


class TaskOff(gdb.Command):
    """Goes back from a task to the thread that was selected before.

Usage: task off"""

    def __init__(self, name):
        super().__init__(name, gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        need_thread()
        before = unwinder.before if unwinder.task is not None else None
        unwinder.leave()
        if before is not None and before.is_valid():
            before.switch()
        gdb.execute("frame")


class TaskApply(gdb.Command):
    """Runs a command of gdb in several tasks.

Usage: task apply ID... COMMAND
       task apply all COMMAND"""

    def __init__(self):
        super().__init__("task apply", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = argument.split()
        count = 1 if words[:1] == ["all"] else next((i for i, word in enumerate(words) if not word.isdigit()), len(words))
        command = argument.split(None, count)[count] if len(words) > count else ""
        if count == 0 or not command:
            raise gdb.GdbError("Usage: task apply ID... COMMAND, or task apply all COMMAND")
        need_thread()
        every = Registry().tasks()
        by_id = {task.id: task for task in every}
        chosen = every if words[0] == "all" else find_tasks(words[:count])
        if not chosen:
            print("No tasks.")
        with KeptSelection():
            for task in chosen:
                print('\nTask %d "%s" (%s):' % (task.id, task.name, task.doing(by_id)))
                try:
                    select(task)
                except gdb.GdbError as error:
                    print(error)
                    continue
                gdb.execute(command)


def on_continue(_):
    unwinder.task = unwinder.running = None


# gdb can read this more than once, for several programs or after a new build: the last one counts.
for handler in getattr(gdb, "aiofiber_handlers", []):
    gdb.events.cont.disconnect(handler)
gdb.aiofiber_handlers = [on_continue]
gdb.events.cont.connect(on_continue)
gdb.unwinder.register_unwinder(None, unwinder, True)
gdb.frame_filters[OwnFrameFilter.name] = OwnFrameFilter()
InfoTasks()
TaskCommand()
TaskOff("task off")
TaskOff("task main")
TaskApply()
