# SPDX-License-Identifier: Apache-2.0
"""A child that gets cancelled fails the gather with CancelledError but does not cancel it."""
from conf import *
async def main():
    loop = asyncio.get_running_loop()
    a, b, c = (loop.create_future() for _ in "abc")
    g = asyncio.gather(a, b, c)
    a.set_result(1); b.cancel("child"); await ticks(2)
    log("gather done", g.done(), "cancelled()", g.cancelled())
    attempt("exception()", g.exception)
    log("c untouched:", st(c)); c.set_result(3)
    async def outer(fs):
        try: return await asyncio.gather(*fs)
        except asyncio.CancelledError as e: log("outer task saw", exc(e)); raise
    fs = [loop.create_future(), loop.create_future()]
    t = asyncio.create_task(outer(fs)); await asyncio.sleep(0)
    fs[0].cancel("via child"); await asyncio.wait([t])
    log("task that awaited it is", st(t), "cancelling()", t.cancelling())
run(main)
