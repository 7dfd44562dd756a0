# SPDX-License-Identifier: Apache-2.0
"""A task that cancels itself: hits the next real suspension; return wins nothing; raise wins."""
from conf import *
async def then_await():
    asyncio.current_task().cancel("self")
    log("still running")
    f = asyncio.get_running_loop().create_future(); f.set_result("done future")
    log("await of a done future:", await f)
    try:
        await asyncio.sleep(5)
    finally:
        log("interrupted")
async def then_sleep0():
    asyncio.current_task().cancel("self0")
    try: await asyncio.sleep(0)
    except asyncio.CancelledError as e:
        log("sleep(0) interrupted", exc(e)); raise
async def then_return():
    asyncio.current_task().cancel("ret")
    return 12
async def then_raise():
    asyncio.current_task().cancel("lost")
    raise ValueError("mine")
async def then_raise_cancelled():
    raise asyncio.CancelledError("without cancel()")
async def main():
    for fn in (then_await, then_sleep0, then_return, then_raise, then_raise_cancelled):
        t = asyncio.create_task(fn())
        try: log(fn.__name__, "->", await t)
        except (ValueError, asyncio.CancelledError) as e:
            log(fn.__name__, "raised", exc(e), "cancelled()", t.cancelled(), "cancelling", t.cancelling())
run(main)
