# SPDX-License-Identifier: Apache-2.0
"""print_stack: exception line forms, growing traceback, frame line against raise line, wrapper coroutine."""
from conf import *
import io
def lines(t, **kw):
    b = io.StringIO(); t.print_stack(file=b, **kw); return [scrub(x) for x in b.getvalue().split("\n")[:-1]]
def names(t, limit=None): return [f.f_code.co_name for f in t.get_stack(limit=limit)]
async def raiser(e): raise e
async def main():
    for e in (ValueError("text"), ValueError(), KeyError("k"), ValueError("two\nlines"), asyncio.InvalidStateError("module is shown"), TimeoutError("t"), ExceptionGroup("g", [ValueError(1)])):
        t = asyncio.create_task(raiser(e)); await asyncio.wait([t]); log(lines(t)[3:])
        t.exception()
    async def cause():
        try: raise KeyError("inner")
        except KeyError as k: raise ValueError("outer") from k
    t = asyncio.create_task(cause()); await asyncio.wait([t]); log("the cause is not shown:", [x for x in lines(t) if not x.startswith(" ")][1:]); t.exception()
    t = asyncio.create_task(raiser(ValueError("v"))); await asyncio.wait([t]); log("unread", names(t))
    for i in (1, 2):
        try: await t
        except ValueError: log("after read", i, names(t), "limit 1", names(t, 1))
    async def fin():
        try: raise ValueError("v")
        finally:
            x = 1
            y = 2
    t = asyncio.create_task(fin()); await asyncio.wait([t]); first = fin.__code__.co_firstlineno
    log("frame line - def line:", t.get_stack()[0].f_lineno - first, "; raise line - def line:", t.exception().__traceback__.tb_lineno - first)
    class Aw:
        def __await__(self): yield from asyncio.sleep(1).__await__()
    t = asyncio.ensure_future(Aw()); await asyncio.sleep(0); log("wrapper", names(t)); t.cancel()
    s = asyncio.create_task(asyncio.sleep(1)); await asyncio.sleep(0); log("library coroutine", names(s)); s.cancel()
    attempt("positional", s.get_stack, 5)
    async def other(): log("another task looks at main:", names(m), "and at itself:", names(asyncio.current_task())[-1])
    m = asyncio.current_task(); await asyncio.create_task(other())
run(main)
