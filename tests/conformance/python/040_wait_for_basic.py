# SPDX-License-Identifier: Apache-2.0
"""wait_for: in time, too late, None, a future, a task, failing coroutine."""
from conf import *
async def val(n, d):
    try:
        await asyncio.sleep(d); log("finished", n); return n
    except asyncio.CancelledError as e: log(n, "cancelled with", exc(e)); raise
async def main():
    loop = asyncio.get_running_loop()
    log(await asyncio.wait_for(val("a", .1), .5))
    try: await asyncio.wait_for(val("b", 1), .2)
    except asyncio.TimeoutError as e: log("timeout", exc(e), "cause", exc(e.__cause__), e.__cause__ is e.__context__)
    log(await asyncio.wait_for(val("c", .1), None))
    f = loop.create_future(); loop.call_later(.1, f.set_result, "F"); log(await asyncio.wait_for(f, 1))
    f = loop.create_future()
    try: await asyncio.wait_for(f, .1)
    except TimeoutError: log("timeout; the future is", st(f))
    t = asyncio.create_task(val("t", 1))
    try: await asyncio.wait_for(t, .1)
    except TimeoutError: log("timeout; the task is", st(t))
    async def bad(): raise ValueError("x")
    try: await asyncio.wait_for(bad(), 1)
    except ValueError as e: log(exc(e))
    log("asyncio.TimeoutError is TimeoutError:", asyncio.TimeoutError is TimeoutError)
    log("main", asyncio.current_task().cancelling())
run(main)
