# SPDX-License-Identifier: Apache-2.0
"""sleep: result argument, zero, negative, cancelled, equal deadlines."""
from conf import *
async def s(n, d):
    r = await asyncio.sleep(d, n); log(r, "woke"); return r
async def main():
    loop = asyncio.get_running_loop()
    log(await asyncio.sleep(.1, "res"), await asyncio.sleep(0, "zero"), await asyncio.sleep(-5, "negative"))
    loop.call_soon(log, "callback between"); await asyncio.sleep(-1); log("a negative sleep still yields once")
    t = asyncio.create_task(s("x", 5)); await asyncio.sleep(.1); t.cancel(); await asyncio.wait([t])
    log(st(t), "live timers", sum(not h.cancelled() for h in loop._scheduled))
    await asyncio.gather(s("d3", .3), s("d1", .1), s("d2", .2))
    await asyncio.gather(s("e1", .1), s("e2", .1))
    f = s("late", 0.05); await asyncio.sleep(.2); log("a coroutine does not run by itself"); log(await f)
run(main)
