# SPDX-License-Identifier: Apache-2.0
"""Interpreter (Python side) of random task programs: fuzz_interp.py [PROG].  The one in C++ (interp/) prints the
same trace of the same program.

A program is a text.  A line is an instruction; some have a block, which is as many of the lines behind them as their
last word says (blocks may hold blocks).

  task NAME            starts a body, which ends with the line "end"; "main" is run first
  end

tasks and futures; variables are shared by all tasks
    log TEXT           trace TEXT with the task's name
    spawn NAME VAR     start body NAME as a task, keep it in variable VAR
    fut VAR            VAR = a new future
    set VAR N          set_result(N) if VAR is a pending plain future, else trace "set skipped"
    fail VAR N         set_exception(ValueError(N)) likewise
    cancel VAR MSG     VAR.cancel(MSG), trace the returned value
    uncancel VAR       trace VAR.uncancel(), of the current task for "self"
    await VAR          await VAR, trace the value
    sleep MS           sleep MS milliseconds (0 = one pass)
    gather RE VAR..    await gather(VAR.., return_exceptions=RE)
    wait MODE MS VAR.. await wait(VAR.., timeout or none if -1), MODE in all|first|exc; trace names
    ascomp MS VAR..    each of as_completed(VAR.., timeout or none if -1); an Exception is traced and swallowed
    waitfor MS VAR     await wait_for(VAR, MS); -1 = no limit
    wfco MS NAME       await wait_for(coroutine of body NAME, MS)
    shield VAR         await shield(VAR)

the flow of control
    raise N            raise ValueError(N)
    return N           leaves the body
    try N              a block; an error is traced and swallowed
    tryraise N         a block; an error is traced and passed on
    finally N M        a block, then always the block of M lines behind it
    timeout MS N       a block inside timeout(MS)
    resched MS         the innermost timeout(): MS from now on, or never if -1
    group N            a block inside a TaskGroup
    gspawn NAME        start body NAME in the innermost group

locks and queues
    lock N / sem N     a block under the shared lock / semaphore of 2
    eset E / eclear E / ewait E     an event
    cond N             a block under the condition's lock
    cwait              await condition.wait()
    cwaitfor N         await condition.wait_for(): until N more notify instructions ran
    notify N           condition.notify(N), or notify_all() for "all"
    bwait N            await wait() of the barrier of N; breset N / babort N likewise
    put N / get        a shared queue of size 2; putnow N / getnow / qdone / qjoin / qshut IMMEDIATE likewise
    qnew               from now on another queue is the shared one

streams; r0 and r1 are the readers, "/" stands for a newline
    rnew R LIMIT       from now on another reader is R
    feed R TEXT / eof R / rfail R N     feed_data(), feed_eof(), set_exception(ValueError(N))
    read R N / readexactly R N / readline R / readuntil R TEXT..    await it; the text "-" is an empty separator
    lines R            async for each line of R
    rstate R           trace at_eof() and the number of bytes, or the exception
  A read while another one of the reader is in progress traces "busy" and is skipped, unless there is nothing to read
  (see README.md).

callbacks; their blocks may not wait
    soon H N           call_soon() of a block; H is its handle
    later H MS N       call_later(); at H MS N: call_at()
    hcancel H          trace H.cancelled(), then H.cancel()
    ondone C VAR N     a block as a done-callback of VAR
    undone C           remove_done_callback()

An instruction with an unset variable traces "unset".  A wait that would close a ring of tasks is traced as "cycle" and
skipped: CPython cannot cancel rings.  At the end everything that lives is cancelled in up to 20 rounds, then each task
is reported in order of creation.
"""
import collections
import os
import sys

if sys.version_info < (3, 13):
    sys.exit("fuzz_interp.py needs CPython 3.13: the traces are those of its asyncio")

import conf
from conf import asyncio, exc, log, st

MOST_TASKS = 60
MOST_COROUTINES = 60
CANCEL_ROUNDS = 20
QUEUE_SIZE = 2

Instruction = collections.namedtuple("Instruction", "name words blocks")    # words: without the counts
BLOCKS = {"try": 1, "tryraise": 1, "finally": 2, "timeout": 1, "group": 1, "lock": 1, "sem": 1, "cond": 1,
          "soon": 1, "later": 1, "at": 1, "ondone": 1}


def parse(text):
    """The bodies of a program: name -> instructions."""
    bodies, lines = {}, None
    for words in filter(None, map(str.split, text.splitlines())):
        if words[0] == "task":
            lines = bodies[words[1]] = []
        elif words[0] == "end":
            lines = None
        else:
            lines.append(words)
    return {name: parse_block(lines) for name, lines in bodies.items()}


def parse_block(lines):
    block, at = [], 0
    while at < len(lines):
        name, *words = lines[at]
        at += 1
        inner = []
        first_count = len(words) - BLOCKS.get(name, 0)
        for count in map(int, words[first_count:]):
            inner.append(parse_block(lines[at:at + count]))
            at += count
        block.append(Instruction(name, words[:first_count], inner))
    return block


class Return(BaseException):
    """The instruction `return`: leaves the whole body, through the blocks in between."""


class OrderedSet(dict):
    """Stands in for a set of asyncio whose order shows."""
    def add(self, item):
        self[item] = True

    def discard(self, item):
        self.pop(item, None)

    def remove(self, item):
        del self[item]


class OrderedTaskGroup(asyncio.TaskGroup):
    """Siblings are cancelled in order of creation."""
    def __init__(self):
        super().__init__()
        self._tasks = OrderedSet()


class OrderedAsCompleted(asyncio.tasks._AsCompletedIterator):
    """Inputs that are done already come in the order in which they were given."""
    def __init__(self, futures, timeout):
        super().__init__((), None)
        self._todo = OrderedSet.fromkeys(futures)
        self._todo_left = len(self._todo)
        for f in self._todo:
            f.add_done_callback(self._handle_completion)
        if timeout is not None:
            self._timeout_handle = asyncio.get_running_loop().call_later(timeout, self._handle_timeout)


class TracedBarrier(asyncio.Barrier):
    """Knows whether its indices are to be traced.  Behind a cancelled party CPython gives an index twice, until the
    barrier is empty again; aiofiber does not, which is decided (see deviations.tsv, BAR3)."""
    def __init__(self, parties):
        super().__init__(parties)
        self.inside = 0
        self.unique = True

    async def wait(self):
        self.inside += 1
        try:
            index = await super().wait()
            return index if self.unique else "-"
        except asyncio.CancelledError:
            self.unique = False
            raise
        finally:
            self.inside -= 1
            if self.inside == 0:
                self.unique = True


class TracedReader(asyncio.StreamReader):
    """Knows whether a read is in progress.  A read that lacks bytes raises the stream's exception if it has one: CPython
    looks at it only when the read begins, and would wait for ever (see README.md)."""
    inside = 0

    async def _wait_for_data(self, name):
        if self._exception is not None:
            raise self._exception
        await super()._wait_for_data(name)

    def busy(self):
        return self.inside > 0 and (self._waiter is None or len(self._buffer) > 0)


class Frame:
    """One running body or callback."""
    def __init__(self, me):
        self.me = me            # "a.1"
        self.groups = []        # entered and not left, innermost last
        self.timeouts = []      # likewise


def seconds(ms):
    return int(ms) / 1000


def limit(ms):
    return None if int(ms) < 0 else seconds(ms)


def bytes_of(text):
    return b"" if text == "-" else text.replace("/", "\n").encode()


class Machine:
    """do_NAME is the instruction NAME; it gets its frame, its words and its blocks."""
    def __init__(self, text):
        self.bodies = parse(text)
        self.variables = {}
        self.tasks = []
        self.futures = []       # keeps every future alive: no reports at destruction
        self.waits = {}         # task -> what it waits for
        self.children = {}      # task -> tasks of its groups: it will wait for them
        self.coroutines = 0
        self.callbacks = 0
        self.handles = {}
        self.removable = {}     # of ondone: name -> (future, callback)
        self.lock = asyncio.Lock()
        self.semaphore = asyncio.Semaphore(2)
        self.events = {name: asyncio.Event() for name in ("e0", "e1")}
        self.condition = asyncio.Condition()
        self.notified = 0       # how many notify instructions ran
        self.barriers = {name: TracedBarrier(int(name)) for name in ("2", "3")}
        self.queue = asyncio.Queue(QUEUE_SIZE)
        self.readers = {}

    async def main(self):
        self.readers = {"r0": TracedReader(4), "r1": TracedReader()}
        await asyncio.wait([self.spawn("main")], timeout=5)
        log("-- cancel what is left")
        for number in range(CANCEL_ROUNDS):
            live = [task for task in self.tasks if not task.done()]
            if not live:
                break
            for task in live:
                task.cancel(f"end{number}")
            await asyncio.wait(live, timeout=1)
        for task in self.tasks:
            log("report", task.get_name(), st(task), "cancelling", task.cancelling())
        for future in self.futures:
            st(future)          # their exceptions count as read

    # ---- bodies and blocks
    def spawn(self, name, create_task=asyncio.create_task):
        if len(self.tasks) >= MOST_TASKS:
            return None
        label = f"{name}.{len(self.tasks)}"
        coroutine = self.body(label, name)
        try:
            task = create_task(coroutine, name=label)
        except RuntimeError:
            coroutine.close()
            raise
        self.tasks.append(task)
        return task

    async def body(self, me, name):
        log(me, "start")
        try:
            try:
                await self.block(Frame(me), self.bodies[name])
            except Return as r:
                log(me, "return", r.args[0])
                return r.args[0]
            log(me, "end")
        except BaseException as e:
            log(me, "out", exc(e))
            raise

    def call(self, frame, instruction):
        """What the instruction's method gives: for one that waits, a coroutine."""
        self.waits.pop(asyncio.current_task(), None)
        step = getattr(self, "do_" + instruction.name)
        return step(frame, *instruction.words, *instruction.blocks)

    async def block(self, frame, code):
        for instruction in code:
            call = self.call(frame, instruction)
            if call is not None:
                await call

    def callback(self, frame, code):
        """The code as a callback; it begins with the word `called` and the state of the future that it is given."""
        own = Frame(f"{frame.me}~{self.callbacks}")
        self.callbacks += 1

        def run(*future):
            log(own.me, "called", *map(st, future))
            for instruction in code:
                if self.call(own, instruction) is not None:
                    raise SystemError(f"{instruction.name} in a callback")
        return run

    # ---- variables
    def get(self, frame, name):
        """The variable's content; an unset one is traced."""
        found = self.variables.get(name)
        if found is None:
            log(frame.me, "unset", name)
        return found

    def get_all(self, names):
        """What the variables hold that are set: name -> content."""
        return {name: self.variables[name] for name in names if name in self.variables}

    def cycle(self, frame, targets):
        """Would waiting for the targets close a ring of tasks?  If not, notes that this task waits for them."""
        current, seen, todo = asyncio.current_task(), set(), list(targets)
        while todo:
            target = todo.pop()
            if target is current:
                log(frame.me, "cycle")
                return True
            if target not in seen:
                seen.add(target)
                todo.extend(self.waits.get(target, ()))
                todo.extend(child for child in self.children.get(target, ()) if not child.done())
        self.waits[current] = list(targets)
        return False

    def get_waitable(self, frame, name):
        """The variable's content, or None if it is unset or waiting for it would close a ring."""
        target = self.get(frame, name)
        return None if target is None or self.cycle(frame, [target]) else target

    # ---- tasks and futures
    def do_log(self, frame, text):
        log(frame.me, text)

    def do_spawn(self, frame, name, variable):
        task = self.spawn(name)
        if task is not None:
            self.variables[variable] = task

    def do_fut(self, frame, variable):
        self.variables[variable] = asyncio.get_running_loop().create_future()
        self.futures.append(self.variables[variable])

    def get_pending(self, frame, instruction, variable):
        """The variable's content if it is a pending future that is no task."""
        future = self.get(frame, variable)
        if future is not None and (isinstance(future, asyncio.Task) or future.done()):
            log(frame.me, instruction, "skipped")
            return None
        return future

    def do_set(self, frame, variable, number):
        future = self.get_pending(frame, "set", variable)
        if future is not None:
            future.set_result(int(number))

    def do_fail(self, frame, variable, number):
        future = self.get_pending(frame, "fail", variable)
        if future is not None:
            future.set_exception(ValueError(int(number)))

    def do_cancel(self, frame, variable, message):
        target = self.get(frame, variable)
        if target is not None:
            log(frame.me, "cancel", variable, target.cancel(message))

    def do_uncancel(self, frame, variable):
        task = asyncio.current_task() if variable == "self" else self.get(frame, variable)
        if isinstance(task, asyncio.Task):
            log(frame.me, "uncancel", variable, task.uncancel())

    async def do_await(self, frame, variable):
        target = self.get_waitable(frame, variable)
        if target is not None:
            log(frame.me, "got", variable, await target)

    async def do_sleep(self, frame, ms):
        await asyncio.sleep(seconds(ms))
        log(frame.me, "slept", ms)

    async def do_gather(self, frame, return_exceptions, *variables):
        targets = [target for target in (self.get(frame, name) for name in variables) if target is not None]
        if self.cycle(frame, targets):
            return
        results = await asyncio.gather(*targets, return_exceptions=return_exceptions == "1")
        log(frame.me, "gathered", [exc(x) if isinstance(x, BaseException) else x for x in results])

    async def do_wait(self, frame, mode, ms, *variables):
        targets = self.get_all(variables)
        if not targets or self.cycle(frame, targets.values()):
            return
        modes = {"all": asyncio.ALL_COMPLETED, "first": asyncio.FIRST_COMPLETED, "exc": asyncio.FIRST_EXCEPTION}
        done, _ = await asyncio.wait(targets.values(), return_when=modes[mode], timeout=limit(ms))
        log(frame.me, "waited", [name for name, target in targets.items() if target in done])

    async def do_ascomp(self, frame, ms, *variables):
        targets = list(dict.fromkeys(self.get_all(variables).values()))
        if not targets or self.cycle(frame, targets):
            return
        for item in OrderedAsCompleted(targets, limit(ms)):
            try:
                log(frame.me, "next", await item)
            except Exception as e:
                log(frame.me, "next raises", exc(e))
        log(frame.me, "no next")

    async def do_waitfor(self, frame, ms, variable):
        target = self.get_waitable(frame, variable)
        if target is not None:
            log(frame.me, "wf", await asyncio.wait_for(target, limit(ms)))

    async def do_wfco(self, frame, ms, name):
        label = f"{name}.c{self.coroutines}"
        self.coroutines += 1
        if self.coroutines <= MOST_COROUTINES:
            log(frame.me, "wf", await asyncio.wait_for(self.body(label, name), limit(ms)))

    async def do_shield(self, frame, variable):
        target = self.get_waitable(frame, variable)
        if target is not None:
            log(frame.me, "shielded", await asyncio.shield(target))

    # ---- the flow of control
    def do_raise(self, frame, number):
        raise ValueError(int(number))

    def do_return(self, frame, number):
        raise Return(int(number))

    async def do_try(self, frame, block):
        try:
            await self.do_tryraise(frame, block)
        except Return:
            raise
        except BaseException:
            pass

    async def do_tryraise(self, frame, block):
        try:
            await self.block(frame, block)
        except Return:
            raise
        except BaseException as e:
            log(frame.me, "caught", exc(e))
            raise

    async def do_finally(self, frame, block, last):
        try:
            await self.block(frame, block)
        finally:
            log(frame.me, "finally")
            await self.block(frame, last)

    async def do_timeout(self, frame, ms, block):
        try:
            async with asyncio.timeout(seconds(ms)) as scope:
                frame.timeouts.append(scope)
                try:
                    await self.block(frame, block)
                finally:
                    frame.timeouts.pop()
        finally:
            log(frame.me, "timeout expired", scope.expired())

    def do_resched(self, frame, ms):
        if frame.timeouts:
            delay = limit(ms)
            frame.timeouts[-1].reschedule(None if delay is None else asyncio.get_running_loop().time() + delay)
            log(frame.me, "resched", ms)

    async def do_group(self, frame, block):
        async with OrderedTaskGroup() as group:
            frame.groups.append(group)
            try:
                await self.block(frame, block)
            finally:
                frame.groups.pop()

    def do_gspawn(self, frame, name):
        if not frame.groups:
            return
        try:
            task = self.spawn(name, frame.groups[-1].create_task)
            if task is not None:
                self.children.setdefault(asyncio.current_task(), []).append(task)
        except RuntimeError:
            log(frame.me, "group refuses")

    # ---- locks
    async def do_lock(self, frame, block):
        async with self.lock:
            log(frame.me, "locked")
            await self.block(frame, block)
        log(frame.me, "unlocked")

    async def do_sem(self, frame, block):
        async with self.semaphore:
            log(frame.me, "sem in")
            await self.block(frame, block)
        log(frame.me, "sem out")

    def do_eset(self, frame, event):
        self.events[event].set()

    def do_eclear(self, frame, event):
        self.events[event].clear()

    async def do_ewait(self, frame, event):
        log(frame.me, "event", event, await self.events[event].wait())

    async def do_cond(self, frame, block):
        async with self.condition:
            log(frame.me, "cond in")
            await self.block(frame, block)
        log(frame.me, "cond out")

    async def do_cwait(self, frame):
        log(frame.me, "cond woken", await self.condition.wait())

    async def do_cwaitfor(self, frame, more):
        goal = self.notified + int(more)
        log(frame.me, "cond true", await self.condition.wait_for(lambda: self.notified >= goal))

    def do_notify(self, frame, count):
        self.notified += 1
        if count == "all":
            self.condition.notify_all()
        else:
            self.condition.notify(int(count))

    async def do_bwait(self, frame, parties):
        log(frame.me, "barrier", await self.barriers[parties].wait())

    async def do_breset(self, frame, parties):
        await self.barriers[parties].reset()
        log(frame.me, "barrier reset")

    async def do_babort(self, frame, parties):
        await self.barriers[parties].abort()
        log(frame.me, "barrier aborted")

    # ---- the queue
    async def do_put(self, frame, item):
        await self.queue.put(int(item))
        log(frame.me, "put", item)

    async def do_get(self, frame):
        log(frame.me, "get", await self.queue.get())

    def do_putnow(self, frame, item):
        self.queue.put_nowait(int(item))

    def do_getnow(self, frame):
        log(frame.me, "get", self.queue.get_nowait())

    def do_qdone(self, frame):
        self.queue.task_done()

    async def do_qjoin(self, frame):
        await self.queue.join()
        log(frame.me, "joined")

    def do_qshut(self, frame, immediate):
        self.queue.shutdown(immediate == "1")

    def do_qnew(self, frame):
        self.queue = asyncio.Queue(QUEUE_SIZE)

    # ---- streams
    def do_rnew(self, frame, name, most):
        self.readers[name] = TracedReader(int(most))

    def do_feed(self, frame, name, text):
        try:
            self.readers[name].feed_data(bytes_of(text))
        except AssertionError:
            log(frame.me, "feed refused")

    def do_eof(self, frame, name):
        self.readers[name].feed_eof()

    def do_rfail(self, frame, name, number):
        self.readers[name].set_exception(ValueError(int(number)))

    def do_rstate(self, frame, name):
        reader = self.readers[name]
        if reader.exception() is not None:
            log(frame.me, name, exc(reader.exception()))
        else:
            log(frame.me, name, "at_eof", reader.at_eof(), len(reader._buffer))

    async def reading(self, frame, name, step):
        """Awaits step(reader) if that is possible now, and traces what an error of it carries."""
        reader = self.readers[name]
        if reader.busy():
            log(frame.me, "busy", name)
            return
        reader.inside += 1
        try:
            await step(reader)
        except asyncio.IncompleteReadError as e:
            log(frame.me, "partial", e.partial, e.expected)
            raise
        except asyncio.LimitOverrunError as e:
            log(frame.me, "consumed", e.consumed, "of", len(reader._buffer))
            raise
        finally:
            reader.inside -= 1

    async def read(self, frame, name, function, *arguments):
        async def step(reader):
            data = await getattr(reader, function)(*arguments)
            log(frame.me, function, name, data, "left", len(reader._buffer))
        await self.reading(frame, name, step)

    async def do_read(self, frame, name, count):
        await self.read(frame, name, "read", int(count))

    async def do_readexactly(self, frame, name, count):
        await self.read(frame, name, "readexactly", int(count))

    async def do_readline(self, frame, name):
        await self.read(frame, name, "readline")

    async def do_readuntil(self, frame, name, *texts):
        separators = tuple(map(bytes_of, texts))
        await self.read(frame, name, "readuntil", separators[0] if len(separators) == 1 else separators)

    async def do_lines(self, frame, name):
        async def step(reader):
            async for line in reader:
                log(frame.me, "line", name, line)
            log(frame.me, "no line", name)
        await self.reading(frame, name, step)

    # ---- callbacks
    def do_soon(self, frame, handle, block):
        self.handles[handle] = asyncio.get_running_loop().call_soon(self.callback(frame, block))

    def do_later(self, frame, handle, ms, block):
        self.handles[handle] = asyncio.get_running_loop().call_later(seconds(ms), self.callback(frame, block))

    def do_at(self, frame, handle, ms, block):
        loop = asyncio.get_running_loop()
        self.handles[handle] = loop.call_at(loop.time() + seconds(ms), self.callback(frame, block))

    def do_hcancel(self, frame, handle):
        if handle in self.handles:
            log(frame.me, "hcancel", handle, self.handles[handle].cancelled())
            self.handles[handle].cancel()

    def do_ondone(self, frame, name, variable, block):
        callback = self.callback(frame, block)
        future = self.get(frame, variable)
        if future is not None:
            future.add_done_callback(callback)
            self.removable[name] = future, callback

    def do_undone(self, frame, name):
        if name in self.removable:
            future, callback = self.removable[name]
            log(frame.me, "undone", name, future.remove_done_callback(callback))


def quiet_handler(loop, context, trace_handler=conf.trace_handler):
    """Reports about destroyed futures depend on when Python collects garbage."""
    if "never retrieved" not in context["message"] and "destroyed" not in context["message"]:
        trace_handler(loop, context)


def main():
    with open(sys.argv[1]) if len(sys.argv) > 1 else sys.stdin as file:
        machine = Machine(file.read())
    conf.trace_handler = quiet_handler
    conf.run(machine.main, drain=False)
    sys.stdout.flush()
    os._exit(0)         # tasks that survived every cancel are left as they are


if __name__ == "__main__":
    main()
