# SPDX-License-Identifier: Apache-2.0
"""run_until_complete: result, exception, early stop, already done future, reuse."""
from conf import *
tap_logger()
loop = new_loop()
async def ok():
    log("ok body"); return 7
async def bad():
    raise ValueError("x")
async def stopper():
    loop.stop(); log("stopped")
    await asyncio.sleep(1)
    return "late"
attempt("ok", loop.run_until_complete, ok())
attempt("bad", loop.run_until_complete, bad())
t = loop.create_task(stopper())
attempt("stopper", loop.run_until_complete, t)
log("task is", st(t))
attempt("again", loop.run_until_complete, t)
f = loop.create_future(); f.set_result("done already")
loop.call_soon(log, "a ready callback runs in the one pass it takes")
attempt("done future", loop.run_until_complete, f)
c = loop.create_future(); c.cancel("why")
attempt("cancelled future", loop.run_until_complete, c)
class Aw:
    def __await__(self):
        log("__await__"); return (yield from ok().__await__())
attempt("awaitable object", loop.run_until_complete, Aw())
loop.close()
