# SPDX-License-Identifier: Apache-2.0
"""Default names Task-N, explicit names, set_name with non-strings."""
from conf import *
async def noop(): pass
async def main():
    loop = asyncio.get_running_loop()
    base = int(asyncio.current_task().get_name().split("-")[1])
    rel = lambda t: "Task-base+%d" % (int(t.get_name().split("-")[1]) - base)
    a, b = asyncio.create_task(noop()), asyncio.create_task(noop())
    log(rel(a), rel(b))
    c = loop.create_task(noop(), name="explicit")
    d = asyncio.create_task(noop())
    log(c.get_name(), "does not use a number:", rel(d))
    e = asyncio.create_task(noop(), name="via create_task")
    f = asyncio.create_task(noop())
    log(e.get_name(), "uses a number in 3.11:", rel(f))
    c.set_name({6}); log(repr(c.get_name()))
    c.set_name(None); log(repr(c.get_name()))
    g = asyncio.ensure_future(noop()); log(rel(g))
    await asyncio.wait([a, b, c, d, e, f, g])
    a.set_name("renamed after done"); log(a.get_name())
run(main)
