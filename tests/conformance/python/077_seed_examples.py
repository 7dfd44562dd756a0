# SPDX-License-Identifier: Apache-2.0
"""The programs that the seed page (3.5.2) describes, in today's spelling."""
from conf import *
import functools
async def hello(): log("Hello World!")
async def clock(n):
    for _ in range(n): log("tick"); await asyncio.sleep(1)
async def compute(x, y): log(f"compute {x} + {y}"); await asyncio.sleep(1); return x + y
async def print_sum(x, y): r = await compute(x, y); log(f"{x} + {y} = {r}")
async def slow(f): await asyncio.sleep(1); f.set_result("Future is done!")
async def factorial(name, n):
    f = 1
    for i in range(2, n + 1): log(f"Task {name}: compute factorial({i})"); await asyncio.sleep(1); f *= i
    log(f"Task {name}: factorial({n}) = {f}")
tap_logger(); loop = new_loop()
loop.run_until_complete(hello())
loop.run_until_complete(clock(5))
loop.run_until_complete(print_sum(1, 2))
f = loop.create_future(); t = asyncio.ensure_future(slow(f), loop=loop); log(loop.run_until_complete(f), "- the task itself is", st(t)); loop.run_until_complete(t)
f = loop.create_future(); t = asyncio.ensure_future(slow(f), loop=loop)
f.add_done_callback(functools.partial(print_cb := (lambda tag, fut: (log(tag, fut.result()), loop.stop())), "Future:")); loop.run_forever(); loop.run_until_complete(t)
loop.run_until_complete(asyncio.gather(*[asyncio.ensure_future(factorial(n, k), loop=loop) for n, k in (("A", 2), ("B", 3), ("C", 4))]))
async def main():
    async def something(): await asyncio.sleep(1); return "something done"
    t = asyncio.ensure_future(something())
    async def ignoring():
        try: return await asyncio.shield(t)
        except asyncio.CancelledError: return None
    o = asyncio.ensure_future(ignoring()); await asyncio.sleep(.1); o.cancel(); log("shield + except:", await o, "|", await t)
    done, pending = await asyncio.wait([asyncio.ensure_future(something()), asyncio.ensure_future(asyncio.sleep(5))], timeout=2); log(len(done), len(pending))
    [p.cancel() for p in pending]
    try: await asyncio.wait_for(asyncio.sleep(60), 1)
    except asyncio.TimeoutError: log("timeout!")
loop.run_until_complete(main()); loop.close()
