# SPDX-License-Identifier: Apache-2.0
"""gather(return_exceptions=True): errors and cancellations become list items."""
from conf import *
async def bad(n):
    await asyncio.sleep(0); raise ValueError(n)
async def val(n): return n
async def main():
    loop = asyncio.get_running_loop()
    f = loop.create_future(); f.cancel("pre"); h = loop.create_future(); h.cancel()
    t = asyncio.create_task(asyncio.sleep(10)); loop.call_later(.1, t.cancel, "tc")
    r = await asyncio.gather(bad(1), val(2), f, h, t, bad(3), return_exceptions=True)
    log([exc(x) if isinstance(x, BaseException) else x for x in r])
    log("main not cancelled:", asyncio.current_task().cancelling())
run(main)
