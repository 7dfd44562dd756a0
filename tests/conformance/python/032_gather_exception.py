# SPDX-License-Identifier: Apache-2.0
"""gather without return_exceptions: first failure ends the gather, the others keep running."""
from conf import *
async def val(n, d):
    try:
        await asyncio.sleep(d); log("finish", n); return n
    except asyncio.CancelledError: log("cancelled", n); raise
async def bad(n, d):
    await asyncio.sleep(d); log("raise", n); raise ValueError(n)
async def main():
    a = asyncio.create_task(val("a", .3)); b = asyncio.create_task(bad("b", .1)); c = asyncio.create_task(bad("c", .2))
    g = asyncio.gather(a, b, c)
    try: await g
    except ValueError as e: log("caught", exc(e), st(a), st(c))
    log("cancel of the finished gather", g.cancel(), "a is", st(a))
    await asyncio.sleep(.3)
    log("a", st(a), "(c's exception counts as retrieved)")
    f1, f2 = (asyncio.get_running_loop().create_future() for _ in "12")
    g = asyncio.gather(f1, f2)
    f2.set_exception(KeyError("second")); f1.set_exception(KeyError("first in list"))
    try: await g
    except KeyError as e: log("order of completion decides:", exc(e))
    await asyncio.sleep(0)
    a = b = c = g = f1 = f2 = None; gc.collect()
run(main)
