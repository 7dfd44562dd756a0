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
  end

Errors of unset variables are traced as "unset".  Every task error ends up in
the trace through the final report of all tasks in order of creation.
"""
import sys, os
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from conf import *


class Return(BaseException):
    pass


class OrderedTasks(dict):
    """Stands in for the set of a TaskGroup: siblings are cancelled in order of creation."""
    def add(self, t): self[t] = True
    def discard(self, t): self.pop(t, None)


class OrderedTaskGroup(asyncio.TaskGroup):
    def __init__(self):
        super().__init__()
        self._tasks = OrderedTasks()


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
        self.groups = {}

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

    async def block(self, me, code):
        i = 0
        while i < len(code):
            op, *a = code[i]
            i += 1
            self.waits.pop(asyncio.current_task(), None)
            if op in ("timeout", "try", "tryraise", "group", "lock", "sem", "finally"):
                k = int(a[-1]) if op != "finally" else int(a[0])
                inner, i = code[i:i + k], i + k
                if op == "timeout":
                    try:
                        async with asyncio.timeout(int(a[0]) / 1000) as cm:
                            await self.block(me, inner)
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
                else:
                    m = int(a[1])
                    last, i = code[i:i + m], i + m
                    try:
                        await self.block(me, inner)
                    finally:
                        log(me, "finally")
                        await self.block(me, last)
                continue
            if op == "log":
                log(me, *a)
            elif op == "spawn":
                t = self.spawn(a[0])
                if t is not None:
                    self.vars[a[1]] = t
            elif op == "gspawn":
                st_ = self.groups.get(me)
                if st_:
                    try:
                        t = self.spawn(a[0], st_[-1].create_task)
                        if t is not None:
                            self.children.setdefault(asyncio.current_task(), []).append(t)
                    except RuntimeError:
                        log(me, "group refuses")
            elif op == "fut":
                self.vars[a[0]] = asyncio.get_running_loop().create_future()
                self.futures.append(self.vars[a[0]])
            elif op in ("set", "fail"):
                f = self.get(me, a[0])
                if f is None:
                    continue
                if isinstance(f, asyncio.Task) or f.done():
                    log(me, op, "skipped")
                elif op == "set":
                    f.set_result(int(a[1]))
                else:
                    f.set_exception(ValueError(int(a[1])))
            elif op == "cancel":
                f = self.get(me, a[0])
                if f is not None:
                    log(me, "cancel", a[0], f.cancel(a[1]))
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
                    ms = int(a[1])
                    d, p = await asyncio.wait(fs, return_when=mode, timeout=None if ms < 0 else ms / 1000)
                    log(me, "waited", [v for v, f in zip(names, fs) if f in d])
            elif op == "waitfor":
                f = self.get(me, a[1])
                if f is not None and not self.cycle(me, [f]):
                    ms = int(a[0])
                    log(me, "wf", await asyncio.wait_for(f, None if ms < 0 else ms / 1000))
            elif op == "shield":
                f = self.get(me, a[0])
                if f is not None and not self.cycle(me, [f]):
                    log(me, "shielded", await asyncio.shield(f))
            elif op == "put":
                await self.queue.put(int(a[0]))
                log(me, "put", a[0])
            elif op == "get":
                log(me, "get", await self.queue.get())
            elif op == "raise":
                raise ValueError(int(a[0]))
            elif op == "return":
                raise Return(int(a[0]))
            else:
                raise SystemError(op)

    async def main(self):
        self.lock = asyncio.Lock()
        self.sem = asyncio.Semaphore(2)
        self.queue = asyncio.Queue(2)
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
