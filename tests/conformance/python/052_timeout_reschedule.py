# SPDX-License-Identifier: Apache-2.0
"""reschedule: later, earlier, None, into the past, from another task."""
from conf import *
async def main():
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(.1) as cm:
        cm.reschedule(loop.time() + .5); await asyncio.sleep(.3); log("moved later", cm.expired()); 
        cm.reschedule(None); log(repr(cm)); await asyncio.sleep(1); log("disabled")
        cm.reschedule(loop.time() + 1)
    try:
        async with asyncio.timeout(10) as cm:
            loop.call_later(.1, lambda: cm.reschedule(loop.time() + .1)); await asyncio.sleep(5)
    except TimeoutError: log("moved earlier from outside", round(cm.when(), 9))
    try:
        async with asyncio.timeout(10) as cm:
            cm.reschedule(loop.time() - 5); log("in the past: not yet", cm.expired()); await asyncio.sleep(5)
    except TimeoutError: log("fired", cm.expired())
    async with asyncio.timeout(10) as cm:
        cm.reschedule(loop.time()); cm.reschedule(loop.time() + 5); await asyncio.sleep(.1)
    log("a pending immediate expiry can be taken back", cm.expired())
run(main)
