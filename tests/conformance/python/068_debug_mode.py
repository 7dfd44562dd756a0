# SPDX-License-Identifier: Apache-2.0
"""Debug mode: slow callbacks, bad callbacks, wrong thread, created-at, coroutine origin."""
from conf import *
import threading
async def coro_fn(): pass
async def main():
    loop = asyncio.get_running_loop(); log("debug", loop.get_debug(), "threshold", loop.slow_callback_duration)
    def slow(): loop.burn(.2)
    loop.call_soon(slow); await asyncio.sleep(0)
    def fast(): loop.burn(.05)
    loop.call_soon(fast); await asyncio.sleep(0)
    async def slow_task(): loop.burn(.3)
    await asyncio.create_task(slow_task(), name="S")
    for label, fn, args in (("call_soon", loop.call_soon, (1,)), ("call_soon", loop.call_soon, (coro_fn,)), ("call_later", loop.call_later, (1, coro_fn)),
                            ("call_soon_threadsafe", loop.call_soon_threadsafe, (coro_fn,)), ("run_in_executor", loop.run_in_executor, (None, coro_fn))):
        attempt(label, fn, *args)
    c = coro_fn(); attempt("call_soon(coroutine object)", loop.call_soon, c); c.close()
    out = []
    def th():
        for fn, a in ((loop.call_soon, ()), (loop.call_later, (1,))):
            try: fn(*a, print); out.append("no error")
            except RuntimeError as e: out.append(str(e))
        try: loop.call_soon_threadsafe(log, "threadsafe call is fine"); out.append("ok")
        except RuntimeError as e: out.append(str(e))
    t = threading.Thread(target=th); t.start(); t.join(); [log(x) for x in out]
    await asyncio.sleep(0)
    f = loop.create_future(); log(scrub(repr(f))); f.cancel()
    def bad(): raise ValueError("x")
    loop.call_soon(bad); await asyncio.sleep(0)
    loop.set_debug(False); log("off", loop.get_debug()); loop.call_soon(slow); await asyncio.sleep(0)
run(main, debug=True)
