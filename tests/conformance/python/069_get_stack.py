# SPDX-License-Identifier: Apache-2.0
"""get_stack: frames per state and the two meanings of limit (function names, oldest first)."""
from conf import *
def names(t, limit=None): return [f.f_code.co_name for f in t.get_stack(limit=limit)]
async def inner(f): await f
async def middle(f): await inner(f)
async def outer(f): await middle(f)
def deep3(): raise ValueError("deep")
def deep2(): deep3()
async def fails(): await asyncio.sleep(0); deep2()
async def looks(box):
    def helper(): box.append((names(asyncio.current_task(), 1), names(asyncio.current_task(), 0), names(asyncio.current_task())[-1], len(names(asyncio.current_task())) > 1))
    helper()
async def main():
    loop = asyncio.get_running_loop(); f = loop.create_future()
    t = asyncio.create_task(outer(f)); log("not started", names(t)); await asyncio.sleep(0)
    log("suspended", names(t), [names(t, n) for n in (1, 2, 0, -1)]); f.set_result(1); await t; log("finished", names(t))
    t = asyncio.create_task(fails()); await asyncio.wait([t]); log("failed", names(t), [names(t, n) for n in (1, 2, 5, 0, -1)])
    t = asyncio.create_task(outer(loop.create_future())); await asyncio.sleep(0); t.cancel(); log("cancelling", names(t)); await asyncio.wait([t]); log("cancelled", names(t))
    box = []; await asyncio.create_task(looks(box)); log("running task looks at itself: limit 1, limit 0, newest of all, also the loop's own frames:", box[0])
run(main)
