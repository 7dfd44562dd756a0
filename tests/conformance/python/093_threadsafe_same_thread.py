# SPDX-License-Identifier: Apache-2.0
"""run_coroutine_threadsafe called in the loop's own thread: when things start, cancel before start."""
from conf import *
async def body(n):
    log(n, "started")
    try: await asyncio.sleep(.1); return n
    except asyncio.CancelledError: log(n, "cancelled"); raise
async def main():
    loop = asyncio.get_running_loop()
    f = asyncio.run_coroutine_threadsafe(body("a"), loop); log("submitted", f.done(), f.running()); await asyncio.sleep(0)
    log("one pass", f.done()); await asyncio.sleep(.2); log("result", f.result(0))
    f = asyncio.run_coroutine_threadsafe(body("b"), loop); log("cancel at once", f.cancel(), f.cancelled()); await asyncio.sleep(.2)
    f = asyncio.run_coroutine_threadsafe(body("c"), loop); await asyncio.sleep(.05); log("cancel while running", f.cancel(), f.cancelled()); await asyncio.sleep(.2)
    f = asyncio.run_coroutine_threadsafe(body("d"), loop); await asyncio.sleep(.2); log("cancel when done", f.cancel(), f.result(0))
    class B(BaseException): pass
    async def br(): raise B("base")
    f = asyncio.run_coroutine_threadsafe(br(), loop); await ticks(5); log(exc(f.exception(0)))
    f = asyncio.run_coroutine_threadsafe(body("e"), loop); got = []; f.add_done_callback(lambda x: got.append(x.result())); await asyncio.sleep(.2); log("callback", got)
    attempt("not a coroutine", asyncio.run_coroutine_threadsafe, loop.create_future(), loop)
run(main)
