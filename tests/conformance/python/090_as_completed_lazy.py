# SPDX-License-Identifier: Apache-2.0
"""as_completed in 3.11 is lazy; finished but unread items survive the timeout; left-overs keep running."""
from conf import *
async def val(n, d): await asyncio.sleep(d); log("end", n); return n
async def main():
    c = val("a", .1); it = asyncio.as_completed([c]); log("tasks before first next()", len(asyncio.all_tasks()))
    x = next(it); log("after", len(asyncio.all_tasks())); log(await x)
    ts = [asyncio.create_task(val("early", .1)), asyncio.create_task(val("late", 3))]
    cs = list(asyncio.as_completed(ts, timeout=.2)); await asyncio.sleep(1)
    for c in cs:
        try: log("item", await c)
        except TimeoutError: log("item TimeoutError")
    for c in asyncio.as_completed([val("p", .1), val("q", .3)]): log("break after", await c); break
    await asyncio.sleep(2)
    async def bad(): raise ValueError("b")
    t = asyncio.create_task(bad()); await asyncio.sleep(0)
    for c in asyncio.as_completed([t, val("ok", .1)]):
        try: log(await c)
        except ValueError as e: log("failed input", exc(e), e is t.exception())
    t = asyncio.create_task(asyncio.sleep(9)); t.cancel()
    for c in asyncio.as_completed([t]):
        try: await c
        except asyncio.CancelledError as e: log("cancelled input raises", exc(e), "me", asyncio.current_task().cancelling())
    c = val("never read", .1)
    for x in asyncio.as_completed([c], timeout=0):
        try: await x
        except TimeoutError: log("timeout 0; the task goes on")
    await asyncio.sleep(.5)
run(main)
