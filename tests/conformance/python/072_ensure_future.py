# SPDX-License-Identifier: Apache-2.0
"""ensure_future: coroutine, task, future, awaitable object, wrong types, loop argument."""
from conf import *
async def c(): return "c"
class Aw:
    def __await__(self): log("__await__ runs in the task", asyncio.current_task().get_name()); yield from asyncio.sleep(0).__await__(); return "aw"
async def main():
    loop = asyncio.get_running_loop()
    t = asyncio.ensure_future(c()); log(type(t).__name__, asyncio.ensure_future(t) is t, t.get_loop() is loop, await t)
    f = loop.create_future(); log(asyncio.ensure_future(f) is f); f.cancel(); log("done ones too", asyncio.ensure_future(f) is f)
    t = asyncio.ensure_future(Aw()); t.set_name("aw"); log(type(t).__name__, await t)
    for bad in (5, "s", None, c, [c]): attempt("bad", asyncio.ensure_future, bad)
    other = TestLoop(); attempt("other loop's future", lambda: asyncio.ensure_future(other.create_future(), loop=loop))
    x = c(); t = asyncio.ensure_future(x, loop=other); log("explicit loop", t.get_loop() is other); t._log_destroy_pending = False
    other._ready.clear(); x.close(); other.close()
    x = c(); attempt("closed loop", lambda: asyncio.ensure_future(x, loop=other))
    try: await x
    except RuntimeError as e: log("the coroutine was closed:", exc(e))
run(main)
tap_warnings(); asyncio.set_event_loop(None)
x = c(); attempt("no loop", asyncio.ensure_future, x); x.close()
