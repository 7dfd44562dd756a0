# SPDX-License-Identifier: Apache-2.0
"""call_soon is FIFO; what a callback schedules runs in the next pass."""
from conf import *
async def main():
    loop = asyncio.get_running_loop()
    def a():
        log("a")
        loop.call_soon(log, "a.child")
    loop.call_soon(a)
    loop.call_soon(log, "b")
    loop.call_soon(log, "c", 1, 2)
    log("scheduled")
    await asyncio.sleep(0)
    log("main again")
    await asyncio.sleep(0)
    log("main third")
run(main)
