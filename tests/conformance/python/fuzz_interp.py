# SPDX-License-Identifier: Apache-2.0
"""Interpreter (Python side) for randomly generated task programs.

A program is a text file; a C++ interpreter for the same language prints the
same trace.  One line is one instruction; a block is a task body.

  task NAME            starts a body; ends with a line "end"; "main" is run first
    log TEXT           trace TEXT with the task's name
    spawn NAME VAR     start body NAME as a task, keep it in variable VAR
    fut VAR            VAR = a new future
    set VAR N          set_result(N) if VAR is a pending plain future, else trace "set skipped"
    fail VAR N         set_exception(ValueError(N)) likewise
    cancel VAR MSG     VAR.cancel(MSG), trace the returned value
    await VAR          await VAR, trace the value
    sleep MS           sleep MS milliseconds (0 = one pass)
    gather RE V..      await gather(V.., return_exceptions=RE)
    wait MODE MS V..   await wait(V.., timeout or none if -1), MODE in all|first|exc; trace names
    waitfor MS VAR     await wait_for(VAR, MS); -1 = no limit
    shield VAR         await shield(VAR)
    timeout MS N       the next N instructions run inside timeout(MS)
    try N              the next N instructions; an error is traced and swallowed
    tryraise N         the next N instructions; an error is traced and passed on
    finally N M        the next N instructions, then always the M after them
    group N            the next N instructions inside a TaskGroup; "gspawn NAME" adds to the innermost
    gspawn NAME
    lock N / sem N     the next N instructions under the shared lock / semaphore(2)
    put N / get        shared queue of size 2
    raise N            raise ValueError(N)
    return N
    eset E / eclear E / ewait E     an event
    cond N             the next N instructions under the condition's lock
    cwait              await condition.wait()
    cwaitfor N         await condition.wait_for(): until N more notify instructions ran
    notify N           condition.notify(N), or notify_all() for "all"
    bwait N            await wait() of the barrier of N; breset N / babort N likewise
    putnow N / getnow / qdone / qjoin / qshut IMMEDIATE      the queue; qnew makes a new one
    ascomp MS V..      each of as_completed(V.., timeout or none if -1); an Exception is traced and swallowed
    uncancel VAR       traces VAR.uncancel(), of the current task for "self"
    resched MS         the innermost timeout(): from now on, or never if -1
    wfco MS NAME       await wait_for(coroutine of body NAME, MS)
    soon H N / later H MS N / at H MS N      the next N instructions as a callback with handle H; none may wait
    hcancel H          H.cancel()
    ondone C VAR N     the next N instructions as a done-callback of VAR; undone C removes it
  end

Errors of unset variables are traced as "unset".  Every task error ends up in
the trace through the final report of all tasks in order of creation.
"""
import sys, os
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from conf import *


class Return(BaseException):
    pass


class OrderedSet(dict):
    """Stands in for a set of asyncio whose order shows."""
    def add(self, t): self[t] = True
    def discard(self, t): self.pop(t, None)
    def remove(self, t): del self[t]


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


def limit(ms):
    return None if int(ms) < 0 else int(ms) / 1000


class Machine:
    def __init__(self, text):
        self.bodies = {}
        cur = None
        for line in text.splitlines():
            w = line.split()
            if not w:
                continue
            if w[0] == "task":
                cur = self.bodies[w[1]] = []
            elif w[0] == "end":
                cur = None
            else:
                cur.append(w)
        self.vars = {}
        self.tasks = []
        self.waits = {}         # task -> what it waits for
        self.children = {}      # task -> tasks of its groups: it will wait for them
        self.futures = []       # keeps every future alive: no reports at destruction
        self.groups = {}        # label -> entered and not left, innermost last
        self.timeouts = {}      # likewise
        self.coroutines = 0
        self.callbacks = 0
        self.handles = {}
        self.removable = {}     # ondone's variable -> (future, callback)
        self.notified = 0       # how many notify instructions ran
        self.marred = False     # see bwait

    def spawn(self, name, creator=None):
        n = len(self.tasks)
        label = f"{name}.{n}"
        coro = self.body(label, self.bodies[name])
        if len(self.tasks) >= 60:
            coro.close()
            return None
        t = (creator or asyncio.create_task)(coro, name=label)
        self.tasks.append(t)
        return t

    async def body(self, me, code):
        log(me, "start")
        try:
            try:
                await self.block(me, code)
            except Return as r:
                log(me, "return", r.args[0])
                return r.args[0]
            log(me, "end")
        except BaseException as e:
            log(me, "out", exc(e))
            raise

    def get(self, me, v):
        x = self.vars.get(v)
        if x is None:
            log(me, "unset", v)
        return x

    def cycle(self, me, targets):
        """Would waiting for targets close a ring of tasks?  (cancel() would recurse.)"""
        cur, seen, todo = asyncio.current_task(), set(), list(targets)
        while todo:
            t = todo.pop()
            if t is cur:
                log(me, "cycle")
                return True
            if id(t) not in seen:
                seen.add(id(t))
                todo.extend(self.waits.get(t, ()))
                todo.extend(c for c in self.children.get(t, ()) if not c.done())
        self.waits[cur] = list(targets)
        return False

    def take_callback(self, me, code, i, n):
        """The n instructions from i on as a callback, and where the code goes on."""
        label, inner = f"{me}~{self.callbacks}", code[i:i + n]
        self.callbacks += 1
        def run(*future):
            log(label, "called", *map(st, future))
            self.quick_block(label, inner)
        return run, i + n

    def quick_block(self, me, code):
        i = 0
        while i < len(code):
            op, *a = code[i]
            i = self.quick(me, op, a, code, i + 1)
            if i is None:
                raise SystemError(op)

    def quick(self, me, op, a, code, i):
        """An instruction that waits for nothing; gives where the code goes on, or None: it is another one."""
        loop = asyncio.get_running_loop()
        if op == "log":
            log(me, *a)
        elif op == "spawn":
            t = self.spawn(a[0])
            if t is not None:
                self.vars[a[1]] = t
        elif op == "fut":
            self.vars[a[0]] = loop.create_future()
            self.futures.append(self.vars[a[0]])
        elif op in ("set", "fail"):
            f = self.get(me, a[0])
            if f is None:
                pass
            elif isinstance(f, asyncio.Task) or f.done():
                log(me, op, "skipped")
            elif op == "set":
                f.set_result(int(a[1]))
            else:
                f.set_exception(ValueError(int(a[1])))
        elif op == "cancel":
            f = self.get(me, a[0])
            if f is not None:
                log(me, "cancel", a[0], f.cancel(a[1]))
        elif op == "raise":
            raise ValueError(int(a[0]))
        elif op == "eset":
            self.events[a[0]].set()
        elif op == "eclear":
            self.events[a[0]].clear()
        elif op == "putnow":
            self.queue.put_nowait(int(a[0]))
        elif op == "getnow":
            log(me, "get", self.queue.get_nowait())
        elif op == "qdone":
            self.queue.task_done()
        elif op == "qshut":
            self.queue.shutdown(a[0] == "1")
        elif op == "qnew":
            self.queue = asyncio.Queue(2)
        elif op == "uncancel":
            t = asyncio.current_task() if a[0] == "self" else self.get(me, a[0])
            if isinstance(t, asyncio.Task):
                log(me, "uncancel", a[0], t.uncancel())
        elif op == "soon":
            callback, i = self.take_callback(me, code, i, int(a[1]))
            self.handles[a[0]] = loop.call_soon(callback)
        elif op == "later":
            callback, i = self.take_callback(me, code, i, int(a[2]))
            self.handles[a[0]] = loop.call_later(int(a[1]) / 1000, callback)
        elif op == "at":
            callback, i = self.take_callback(me, code, i, int(a[2]))
            self.handles[a[0]] = loop.call_at(loop.time() + int(a[1]) / 1000, callback)
        elif op == "hcancel":
            handle = self.handles.get(a[0])
            if handle is not None:
                log(me, "hcancel", a[0], handle.cancelled())
                handle.cancel()
        elif op == "ondone":
            callback, i = self.take_callback(me, code, i, int(a[2]))
            f = self.get(me, a[1])
            if f is not None:
                f.add_done_callback(callback)
                self.removable[a[0]] = f, callback
        elif op == "undone":
            if a[0] in self.removable:
                f, callback = self.removable[a[0]]
                log(me, "undone", a[0], f.remove_done_callback(callback))
        else:
            return None
        return i

    async def block(self, me, code):
        i = 0
        while i < len(code):
            op, *a = code[i]
            i += 1
            self.waits.pop(asyncio.current_task(), None)
            if op in ("timeout", "try", "tryraise", "group", "lock", "sem", "cond", "finally"):
                k = int(a[-1]) if op != "finally" else int(a[0])
                inner, i = code[i:i + k], i + k
                if op == "timeout":
                    try:
                        async with asyncio.timeout(int(a[0]) / 1000) as cm:
                            stack = self.timeouts.setdefault(me, [])
                            stack.append(cm)
                            try:
                                await self.block(me, inner)
                            finally:
                                stack.pop()
                    finally:
                        log(me, "timeout expired", cm.expired())
                elif op in ("try", "tryraise"):
                    try:
                        await self.block(me, inner)
                    except Return:
                        raise
                    except BaseException as e:
                        log(me, "caught", exc(e))
                        if op == "tryraise":
                            raise
                elif op == "group":
                    async with OrderedTaskGroup() as g:
                        stack = self.groups.setdefault(me, [])
                        stack.append(g)
                        try:
                            await self.block(me, inner)
                        finally:
                            stack.pop()
                elif op == "lock":
                    async with self.lock:
                        log(me, "locked")
                        await self.block(me, inner)
                    log(me, "unlocked")
                elif op == "sem":
                    async with self.sem:
                        log(me, "sem in")
                        await self.block(me, inner)
                    log(me, "sem out")
                elif op == "cond":
                    async with self.cond:
                        log(me, "cond in")
                        await self.block(me, inner)
                    log(me, "cond out")
                else:
                    m = int(a[1])
                    last, i = code[i:i + m], i + m
                    try:
                        await self.block(me, inner)
                    finally:
                        log(me, "finally")
                        await self.block(me, last)
                continue
            after = self.quick(me, op, a, code, i)
            if after is not None:
                i = after
            elif op == "gspawn":
                st_ = self.groups.get(me)
                if st_:
                    try:
                        t = self.spawn(a[0], st_[-1].create_task)
                        if t is not None:
                            self.children.setdefault(asyncio.current_task(), []).append(t)
                    except RuntimeError:
                        log(me, "group refuses")
            elif op == "await":
                f = self.get(me, a[0])
                if f is not None and not self.cycle(me, [f]):
                    log(me, "got", a[0], await f)
            elif op == "sleep":
                await asyncio.sleep(int(a[0]) / 1000)
                log(me, "slept", a[0])
            elif op == "gather":
                fs = [f for f in (self.get(me, v) for v in a[1:]) if f is not None]
                if self.cycle(me, fs):
                    continue
                r = await asyncio.gather(*fs, return_exceptions=a[0] == "1")
                log(me, "gathered", [exc(x) if isinstance(x, BaseException) else x for x in r])
            elif op == "wait":
                names = [v for v in dict.fromkeys(a[2:]) if self.vars.get(v) is not None]
                fs = [self.vars[v] for v in names]
                if fs and not self.cycle(me, fs):
                    mode = {"all": asyncio.ALL_COMPLETED, "first": asyncio.FIRST_COMPLETED, "exc": asyncio.FIRST_EXCEPTION}[a[0]]
                    d, p = await asyncio.wait(fs, return_when=mode, timeout=limit(a[1]))
                    log(me, "waited", [v for v, f in zip(names, fs) if f in d])
            elif op == "waitfor":
                f = self.get(me, a[1])
                if f is not None and not self.cycle(me, [f]):
                    log(me, "wf", await asyncio.wait_for(f, limit(a[0])))
            elif op == "shield":
                f = self.get(me, a[0])
                if f is not None and not self.cycle(me, [f]):
                    log(me, "shielded", await asyncio.shield(f))
            elif op == "put":
                await self.queue.put(int(a[0]))
                log(me, "put", a[0])
            elif op == "get":
                log(me, "get", await self.queue.get())
            elif op == "ewait":
                log(me, "event", a[0], await self.events[a[0]].wait())
            elif op == "cwait":
                log(me, "cond woken", await self.cond.wait())
            elif op == "cwaitfor":
                goal = self.notified + int(a[0])
                log(me, "cond true", await self.cond.wait_for(lambda: self.notified >= goal))
            elif op == "notify":
                self.notified += 1
                if a[0] == "all":
                    self.cond.notify_all()
                else:
                    self.cond.notify(int(a[0]))
            elif op == "bwait":
                try:
                    index = await self.barriers[a[0]].wait()
                except asyncio.CancelledError:
                    self.marred = True      # CPython's indices are not unique any more, see Barrier.wait in C++
                    raise
                log(me, "barrier", "-" if self.marred else index)
            elif op == "breset":
                await self.barriers[a[0]].reset()
                log(me, "barrier reset")
            elif op == "babort":
                await self.barriers[a[0]].abort()
                log(me, "barrier aborted")
            elif op == "qjoin":
                await self.queue.join()
                log(me, "joined")
            elif op == "ascomp":
                fs = list(dict.fromkeys(f for f in (self.vars.get(v) for v in a[1:]) if f is not None))
                if fs and not self.cycle(me, fs):
                    for item in OrderedAsCompleted(fs, limit(a[0])):
                        try:
                            log(me, "next", await item)
                        except Exception as e:
                            log(me, "next raises", exc(e))
                    log(me, "no next")
            elif op == "resched":
                if self.timeouts.get(me):
                    delay = limit(a[0])
                    now = asyncio.get_running_loop().time()
                    self.timeouts[me][-1].reschedule(None if delay is None else now + delay)
                    log(me, "resched", a[0])
            elif op == "wfco":
                label = f"{a[1]}.c{self.coroutines}"
                self.coroutines += 1
                if self.coroutines <= 60:
                    log(me, "wf", await asyncio.wait_for(self.body(label, self.bodies[a[1]]), limit(a[0])))
            elif op == "return":
                raise Return(int(a[0]))
            else:
                raise SystemError(op)

    async def main(self):
        self.lock = asyncio.Lock()
        self.sem = asyncio.Semaphore(2)
        self.queue = asyncio.Queue(2)
        self.events = {"e0": asyncio.Event(), "e1": asyncio.Event()}
        self.cond = asyncio.Condition()
        self.barriers = {"2": asyncio.Barrier(2), "3": asyncio.Barrier(3)}
        t = self.spawn("main")
        await asyncio.wait([t], timeout=5)
        log("-- cancel what is left")
        for rounds in range(20):
            live = [x for x in self.tasks if not x.done()]
            if not live:
                break
            for x in live:
                x.cancel(f"end{rounds}")
            await asyncio.wait(live, timeout=1)
        for x in self.tasks:
            log("report", x.get_name(), st(x), "cancelling", x.cancelling())
        for x in self.futures:
            st(x)


if __name__ == "__main__":
    text = open(sys.argv[1]).read() if len(sys.argv) > 1 else sys.stdin.read()
    m = Machine(text)
    import conf
    def quiet(loop, context, real=conf.trace_handler):
        if "never retrieved" not in context["message"] and "destroyed" not in context["message"]:
            real(loop, context)
    conf.trace_handler = quiet
    run(m.main, drain=False)
    for f in m.futures + m.tasks + list(m.vars.values()):
        f._log_traceback = False
    sys.stdout.flush()
    os._exit(0)
