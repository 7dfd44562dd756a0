# SPDX-License-Identifier: Apache-2.0
"""timeout(): expiry, no expiry, None, zero, past, expired(), when(), repr, cause."""
from conf import *
async def main():
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(.1) as cm:
            log(repr(cm), cm.when())
            try: await asyncio.sleep(1)
            except asyncio.CancelledError as e: log("inside", exc(e), repr(cm), "expired", cm.expired(), "cancelling", asyncio.current_task().cancelling()); raise
    except TimeoutError as e: log("TimeoutError", exc(e), "cause", exc(e.__cause__), repr(cm), cm.expired(), "cancelling", asyncio.current_task().cancelling())
    async with asyncio.timeout(5) as cm: await asyncio.sleep(.1)
    log(repr(cm), cm.expired(), "when", cm.when(), "live timers", sum(not h.cancelled() for h in loop._scheduled))
    async with asyncio.timeout(None) as cm: log(repr(cm), cm.when()); await asyncio.sleep(.1)
    for d in (0, -1):
        try:
            async with asyncio.timeout(d): await asyncio.sleep(0); log("not reached")
        except TimeoutError: log("delay", d, "fires at the first yield")
        async with asyncio.timeout(d) as cm: log("no yield inside:", d)
        log("finished", repr(cm), cm.expired())
    try:
        async with asyncio.timeout_at(loop.time() + .1) as cm: await asyncio.sleep(1)
    except TimeoutError: log("timeout_at", cm.when())
    f = loop.create_future(); f.set_result(1)
    async with asyncio.timeout(0) as cm: log("a done future does not yield", await f)
    await asyncio.sleep(0); log("no stray cancellation")
run(main)
