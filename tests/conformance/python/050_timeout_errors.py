# SPDX-License-Identifier: Apache-2.0
"""timeout(): misuse messages, other exceptions, swallowed cancellation, foreign cancel."""
from conf import *
async def main():
    cm = asyncio.timeout(1); log(repr(cm)); attempt("reschedule before enter", cm.reschedule, 5)
    async with cm:
        try:
            async with cm: pass
        except RuntimeError as e: log(exc(e))
    try:
        async with cm: pass
    except RuntimeError as e: log(exc(e))
    attempt("reschedule finished", cm.reschedule, 5)
    try:
        async with asyncio.timeout(.1) as cm: await asyncio.sleep(1)
    except TimeoutError: pass
    attempt("reschedule expired", cm.reschedule, 5)
    async with asyncio.timeout(.1) as cm:
        try: await asyncio.sleep(1)
        except asyncio.CancelledError: attempt("reschedule expiring", cm.reschedule, 5)
        log("swallowed: no TimeoutError will come", "cancelling", asyncio.current_task().cancelling())
    log("after", cm.expired(), "cancelling", asyncio.current_task().cancelling())
    try:
        async with asyncio.timeout(.1) as cm:
            try: await asyncio.sleep(1)
            finally: raise KeyError("replaces the cancellation")
    except KeyError as e: log(exc(e), "expired", cm.expired(), "cancelling", asyncio.current_task().cancelling())
    async def victim():
        async with asyncio.timeout(5) as cm:
            try: await asyncio.sleep(1)
            finally: log("victim expired()", cm.expired())
    t = asyncio.create_task(victim()); await asyncio.sleep(.1); t.cancel("foreign"); await asyncio.wait([t]); log(st(t))
    def cb():
        c = asyncio.timeout(1).__aenter__()
        try: c.send(None)
        except RuntimeError as e: log("without a task:", exc(e))
    asyncio.get_running_loop().call_soon(cb); await asyncio.sleep(0)
run(main)
attempt("timeout() outside a loop", asyncio.timeout, 1)
