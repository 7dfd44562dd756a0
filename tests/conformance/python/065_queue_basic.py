# SPDX-License-Identifier: Apache-2.0
"""Queue: blocking get/put, FIFO of getters and putters, nowait errors, repr, task_done/join."""
from conf import *
async def getter(n, q): log(n, "got", await q.get())
async def putter(n, q): await q.put(n); log(n, "was put", q.qsize())
async def main():
    q = asyncio.Queue(2); log(str(q), q.maxsize, q.empty(), q.full(), q.qsize())
    attempt("get_nowait", q.get_nowait); q.put_nowait(1); q.put_nowait(2); attempt("put_nowait", q.put_nowait, 3); log(str(q), q.full())
    ts = [asyncio.create_task(putter(n, q)) for n in "abc"]; await asyncio.sleep(0); log(str(q))
    log(q.get_nowait(), "one putter is only scheduled:", str(q)); attempt("a free slot is not reserved: put_nowait", q.put_nowait, "barging"); await ticks(2); log(str(q))
    while not q.empty(): log("take", q.get_nowait()); await asyncio.sleep(0)
    await ticks(3); log([st(t) for t in ts], str(q))
    while not q.empty(): q.get_nowait()
    await asyncio.wait(ts)
    q = asyncio.Queue(); ts = [asyncio.create_task(getter(n, q)) for n in "xyz"]; await asyncio.sleep(0); log(str(q))
    for i in range(3): q.put_nowait(i)
    log("items wait for the getters", str(q)); await asyncio.wait(ts); log(str(q))
    q = asyncio.Queue(); log("full() with maxsize 0", q.full()); attempt("task_done", q.task_done)
    await q.join(); log("join of an empty queue returns at once")
    for i in range(2): q.put_nowait(i)
    j = asyncio.create_task(q.join()); await asyncio.sleep(0); q.get_nowait(); q.task_done(); await ticks(2); log("join", st(j))
    q.get_nowait(); await ticks(2); log("join counts task_done, not get:", st(j)); q.task_done(); await asyncio.wait([j]); log(st(j)); attempt("task_done", q.task_done)
    for Q in (asyncio.PriorityQueue, asyncio.LifoQueue):
        q = Q(); [q.put_nowait(x) for x in (3, 1, 2)]; log(Q.__name__, [q.get_nowait() for _ in range(3)])
run(main)
