# SPDX-License-Identifier: Apache-2.0
"""Runner / run: several runs in one loop, context kept, left-over tasks cancelled, errors."""
from conf import *
import contextvars
tap_logger()
var = contextvars.ContextVar("var", default="unset")
async def setv(v):
    old = var.get(); var.set(v); await asyncio.sleep(0); return old
def fac():
    return new_loop()
with asyncio.Runner(loop_factory=fac) as r:
    attempt("run 1", lambda: r.run(setv("one"))); attempt("run 2", lambda: r.run(setv("two")))
    attempt("same loop", lambda: r.get_loop() is r.get_loop())
    async def b(): raise ValueError("v")
    attempt("run failing", lambda: r.run(b()))
    attempt("run(123)", r.run, 123)
    attempt("run(future)", lambda: r.run(r.get_loop().create_future()))
    async def nest():
        c = setv("x")
        try: r.run(c)
        finally: c.close()
    attempt("nested", lambda: r.run(nest()))
    async def left():
        try: await asyncio.sleep(10)
        except asyncio.CancelledError: log("left-over task cancelled"); await asyncio.sleep(.1); log("cleaned"); raise
    async def leaves(): asyncio.create_task(left(), name="left"); await asyncio.sleep(0); return "main value"
    attempt("leaves", lambda: r.run(leaves()))
    async def left_err():
        try: await asyncio.sleep(10)
        finally: raise KeyError("in clean-up")
    async def leaves2(): asyncio.create_task(left_err(), name="left_err"); await asyncio.sleep(0)
    r.get_loop().set_exception_handler(trace_handler)
    r.run(leaves2())
    lp = r.get_loop(); log("closing the runner")
log("closed", lp.is_closed(), "outer context untouched:", var.get())
attempt("get_loop", r.get_loop)
c = setv("z"); attempt("run", r.run, c); c.close()
attempt("close again", r.close)
async def m(): return 42
attempt("asyncio.run", lambda: asyncio.run(m()))
attempt("asyncio.run(5)", asyncio.run, 5)
