# SPDX-License-Identifier: Apache-2.0
"""Condition: notify(n) order, re-acquire, wait_for, cancel while waiting and while re-acquiring."""
from conf import *
async def w(n, c):
    try:
        async with c:
            log(n, "waits"); r = await c.wait(); log(n, "woken", r, "locked", c.locked())
    except asyncio.CancelledError: log(n, "cancelled, locked", c.locked()); raise
    log(n, "out")
async def main():
    c = asyncio.Condition()
    for label, call in (("notify", c.notify), ("notify_all", c.notify_all)): attempt(label + " unlocked", call)
    try: await c.wait()
    except RuntimeError as e: log(exc(e))
    ts = [asyncio.create_task(w(n, c)) for n in "abcd"]; await asyncio.sleep(0)
    log(scrub(repr(c)).split(" [")[1])
    async with c: c.notify(); log("notified one, still hold the lock"); await ticks(2)
    await ticks(3)
    async with c: c.notify(2)
    await ticks(6)
    async with c: c.notify_all(); c.notify(5)
    await asyncio.wait(ts)
    # cancelled while waiting: re-acquires the lock before the error appears
    t = asyncio.create_task(w("x", c)); await asyncio.sleep(0)
    await c.acquire(); t.cancel(); await ticks(3); log("x must wait for the lock first:", st(t)); c.release()
    await asyncio.wait([t]); log(st(t), c.locked())
    # cancelled while re-acquiring after a notify: the cancellation is kept, message is lost
    t = asyncio.create_task(w("y", c)); await asyncio.sleep(0)
    await c.acquire(); c.notify(); await asyncio.sleep(0); t.cancel("msg"); await asyncio.sleep(0); c.release()
    await asyncio.wait([t]); attempt("y", t.result)
    ok = []
    async def pred():
        async with c: log("wait_for ->", await c.wait_for(lambda: ok and ok[0]))
    t = asyncio.create_task(pred()); await asyncio.sleep(0)
    async with c: c.notify(); 
    await ticks(4); log("predicate false: still waiting", st(t)); ok.append("truthy")
    async with c: c.notify_all()
    await asyncio.wait([t])
    log("predicate already true needs no lock:", await c.wait_for(lambda: [1]))
    lk = asyncio.Lock(); c2 = asyncio.Condition(lk)
    async with lk: log("shares the lock", c2.locked())
run(main)
