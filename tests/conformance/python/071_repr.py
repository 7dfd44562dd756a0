# SPDX-License-Identifier: Apache-2.0
"""repr of futures, tasks and handles in every state (paths and lines removed)."""
from conf import *
def p(label, o): log(label, scrub(repr(o)))
def cb1(f): pass
def cb2(f): pass
async def body(f): return await f
async def main():
    loop = asyncio.get_running_loop()
    f = loop.create_future(); p("pending", f); f.add_done_callback(cb1); p("1 cb", f); f.add_done_callback(cb2); p("2 cbs", f)
    for _ in range(3): f.add_done_callback(cb1)
    p("5 cbs", f); f.set_result("x" * 60); p("long result", f)
    f = loop.create_future(); f.set_exception(ValueError("v")); p("exception", f); f.exception()
    f = loop.create_future(); f.cancel("m"); p("cancelled", f)
    g = loop.create_future(); t = loop.create_task(body(g), name="N"); p("not started", t); await asyncio.sleep(0); p("suspended", t)
    t.cancel(); p("cancelling", t); await asyncio.wait([t]); p("cancelled", t)
    t = loop.create_task(asyncio.sleep(0, 5), name="S"); await t; p("finished", t)
    h = loop.call_soon(cb1, 1, "a"); p("handle", h); h.cancel(); p("cancelled handle", h)
    h = loop.call_later(5, cb1, 1); p("timer", h); h.cancel(); p("cancelled timer", h)
    p("loop", loop)
    async def me(): p("running", asyncio.current_task())
    await loop.create_task(me(), name="R")
    outer = loop.create_task(body(loop.create_task(body(g2 := loop.create_future()), name="in")), name="out"); await ticks(2); p("chain", outer); g2.set_result(0); await outer
run(main)
