# SPDX-License-Identifier: Apache-2.0
"""cancel() of a task that waits: error arrives at the await, finally runs, may await."""
from conf import *
async def body(f):
    try:
        log("waiting")
        await f
    except asyncio.CancelledError as e:
        log("in except", exc(e), "cancelling", asyncio.current_task().cancelling())
        raise
    finally:
        log("finally: cleaning")
        await asyncio.sleep(0.1)
        log("finally: cleaned")
async def main():
    f = asyncio.get_running_loop().create_future()
    t = asyncio.create_task(body(f))
    await asyncio.sleep(0)
    log("cancel", t.cancel("m"))
    log("f is", st(f), "t is", st(t), "cancelled()", t.cancelled())
    await asyncio.sleep(0)
    log("next pass: t is", st(t))
    try: await t
    except asyncio.CancelledError as e: log("main caught", exc(e))
    log("t", st(t))
run(main)
