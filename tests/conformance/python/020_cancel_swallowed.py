# SPDX-License-Identifier: Apache-2.0
"""A task may swallow a cancellation; later cancels work again; counts keep growing."""
from conf import *
async def body():
    for i in range(3):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError as e:
            log("swallow", i, exc(e), "cancelling", asyncio.current_task().cancelling())
    return "survived"
async def main():
    t = asyncio.create_task(body())
    for i in range(3):
        await asyncio.sleep(0.1)
        log("cancel", i, t.cancel(f"c{i}"), "cancelled()", t.cancelled())
    log("result", await t, "cancelled()", t.cancelled(), "cancelling", t.cancelling())
run(main)
