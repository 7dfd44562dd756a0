# SPDX-License-Identifier: Apache-2.0
"""Timers: by deadline, negative and zero delays, due timers queue behind ready callbacks."""
from conf import *
async def main():
    loop = asyncio.get_running_loop()
    loop.call_later(0, log, "later 0")
    loop.call_later(-1, log, "later -1")
    loop.call_later(-2, log, "later -2")
    loop.call_later(0.2, log, "later .2")
    loop.call_later(0.1, log, "later .1")
    loop.call_at(0.15, log, "at .15")
    loop.call_soon(log, "soon")
    log("scheduled")
    await asyncio.sleep(0)
    log("main resumed by sleep(0)")
    await asyncio.sleep(0.3)
    def late():
        log("late, clock burnt")
        loop.burn(1)
        loop.call_soon(log, "soon after burn")
    loop.call_later(0.5, log, "t .5")
    loop.call_later(0.4, log, "t .4")
    loop.call_soon(late)
    await asyncio.sleep(0.6)
    log("end")
run(main)
