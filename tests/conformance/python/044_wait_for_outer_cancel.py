# SPDX-License-Identifier: Apache-2.0
"""Cancelling wait_for cancels the inner task and waits until it ended."""
from conf import *
async def inner(how):
    try: await asyncio.sleep(10)
    except asyncio.CancelledError as e:
        log("inner", exc(e)); await asyncio.sleep(.2); log("inner cleaned")
        if how == "value": return "v"
        if how == "error": raise KeyError("inner failed")
        raise
async def main():
    for how in ("propagate", "value", "error"):
        it = asyncio.create_task(inner(how))
        w = asyncio.create_task(asyncio.wait_for(it, 5)); await asyncio.sleep(.1)
        log("cancel", how); w.cancel("OUTER"); await asyncio.wait([w])
        log("w", st(w), "inner", st(it))
        try: w.result()
        except BaseException as e: log("w.result()", exc(e))
    f = asyncio.get_running_loop().create_future()
    w = asyncio.create_task(asyncio.wait_for(asyncio.shield(f), 5)); await asyncio.sleep(.1)
    w.cancel(); await asyncio.wait([w]); log("shielded future", st(f)); f.cancel()
run(main)
