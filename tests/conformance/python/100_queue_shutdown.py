# SPDX-License-Identifier: Apache-2.0
"""Queue.shutdown: puts fail, gets drain, those who wait are told; immediate drops the items and ends join."""
from conf import *
async def getter(n, q):
    try: log(n, "got", await q.get())
    except asyncio.QueueShutDown as e: log(n, exc(e)); raise
async def putter(n, q):
    try: await q.put(n); log(n, "was put")
    except asyncio.QueueShutDown as e: log(n, exc(e)); raise
async def main():
    q = asyncio.Queue(2); q.put_nowait(1); q.put_nowait(2); p = asyncio.create_task(putter(3, q)); await asyncio.sleep(0)
    q.shutdown(); log(str(q)); await asyncio.wait([p]); log(st(p))
    attempt("put_nowait", q.put_nowait, 4); attempt("get_nowait", q.get_nowait); log("get", await q.get()); attempt("get_nowait, empty", q.get_nowait)
    g = asyncio.create_task(getter("late", q)); await asyncio.wait([g]); log(st(g))
    j = asyncio.create_task(q.join()); await ticks(2); log("join counts what was got:", st(j)); q.task_done(); q.task_done(); await asyncio.wait([j]); log(st(j))
    q = asyncio.Queue(); ts = [asyncio.create_task(getter(n, q)) for n in "abc"]; await asyncio.sleep(0)
    q.put_nowait(5); q.shutdown(); q.shutdown(); await asyncio.wait(ts); log([st(t) for t in ts])
    q = asyncio.Queue(2); q.put_nowait(6); q.put_nowait(7); j = asyncio.create_task(q.join()); p = asyncio.create_task(putter(8, q)); await asyncio.sleep(0)
    q.shutdown(immediate=True); log(str(q)); await asyncio.wait([j, p]); log(st(j), st(p)); attempt("get_nowait", q.get_nowait); attempt("task_done", q.task_done)
run(main)
