# SPDX-License-Identifier: Apache-2.0
"""On timeout wait_for waits for the inner task: value, other error, slow clean-up, never."""
from conf import *
async def inner(how):
    try: await asyncio.sleep(1)
    except asyncio.CancelledError:
        log("inner cleaning"); await asyncio.sleep(.5)
        if how == "value": return "value after cancel"
        if how == "error": raise KeyError("after cancel")
        raise
async def main():
    for how in ("propagate", "value", "error"):
        try: log(how, "->", await asyncio.wait_for(inner(how), .1))
        except Exception as e: log(how, "raised", exc(e))
    # stubborn: ignores the first cancellation; the waiter itself can still be cancelled
    async def stubborn():
        for i in range(2):
            try: await asyncio.sleep(.3)
            except asyncio.CancelledError: log("stubborn ignores cancel", i)
        return 42
    it = asyncio.create_task(stubborn())
    w = asyncio.create_task(asyncio.wait_for(it, .1)); await asyncio.sleep(.2)
    w.cancel("outer"); await asyncio.wait([w]); log("w", st(w), "inner", st(it))
    log("inner", await it)
run(main)
