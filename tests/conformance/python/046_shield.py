# SPDX-License-Identifier: Apache-2.0
"""shield: outer cancelled, inner cancelled, exception, already done, late inner failure."""
from conf import *
async def inner(n, how="value"):
    try:
        await asyncio.sleep(.2); log("inner", n, "ends")
        if how == "error": raise ValueError(n)
        return n
    except asyncio.CancelledError: log("inner", n, "cancelled (bad)"); raise
async def outer(t):
    try: return await asyncio.shield(t)
    except asyncio.CancelledError as e: log("outer", exc(e)); raise
async def main():
    loop = asyncio.get_running_loop()
    t = asyncio.create_task(inner("A")); o = asyncio.create_task(outer(t)); await asyncio.sleep(.1)
    log("cancel outer", o.cancel("O")); await asyncio.wait([o]); log(st(o), "inner", st(t)); log(await t)
    f = loop.create_future(); s = asyncio.shield(f); f.cancel("inner msg"); await ticks(2)
    log("inner cancelled -> shield", st(s)); attempt("message lost", s.result)
    f = loop.create_future(); s = asyncio.shield(f); f.set_exception(KeyError("k"))
    try: await s
    except KeyError as e: log("exception passes", e is f.exception())
    f = loop.create_future(); f.set_result(1); log("done input is returned itself", asyncio.shield(f) is f)
    t = asyncio.create_task(inner("B", "error")); s = asyncio.shield(t); s.cancel(); await asyncio.sleep(.3)
    log("inner failed after the outer was cancelled; nobody read it:"); del s; t = None; gc.collect()
    f = loop.create_future(); s = asyncio.shield(f); f.set_result("r"); log("same pass: cancel", s.cancel())
    await ticks(2); log("shield", st(s), "inner", st(f))
    attempt("shield(5)", asyncio.shield, 5)
run(main)
