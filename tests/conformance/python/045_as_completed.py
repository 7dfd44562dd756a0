# SPDX-License-Identifier: Apache-2.0
"""as_completed: order of completion, exceptions, duplicates, timeout, awaiting out of order."""
from conf import *
async def val(n, d):
    await asyncio.sleep(d); return n
async def bad(d):
    await asyncio.sleep(d); raise ValueError("bad")
async def main():
    for c in asyncio.as_completed([val("c", .3), val("a", .1), bad(.2)]):
        try: log("got", await c)
        except ValueError as e: log("err", exc(e))
    dup = val("dup", .1)
    n = 0
    for c in asyncio.as_completed([dup, dup, val("x", .2)]):
        log("dup test", await c); n += 1
    log("items", n)
    ts = [asyncio.create_task(val("in time", .1)), asyncio.create_task(val("late", 1))]
    for c in asyncio.as_completed(ts, timeout=.5):
        try: log(await c)
        except TimeoutError as e: log("timeout", exc(e))
    log("late task not cancelled:", st(ts[1])); log(await ts[1])
    cs = list(asyncio.as_completed([val("second", .2), val("first", .1)]))
    x = asyncio.create_task(cs[1]); await asyncio.sleep(0)
    log("whoever waits first gets the first:", await x, await cs[0])
    log("empty:", list(asyncio.as_completed([])))
    f = asyncio.get_running_loop().create_future(); f.set_result("already")
    for c in asyncio.as_completed([f]): log(await c)
    for arg in (f, val(0, 0)):
        try: next(iter(asyncio.as_completed(arg)))
        except TypeError as e: log(exc(e))
        if not asyncio.isfuture(arg): arg.close()
run(main)
