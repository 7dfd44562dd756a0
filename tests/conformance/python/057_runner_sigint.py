# SPDX-License-Identifier: Apache-2.0
"""SIGINT inside Runner.run: first cancels the main task, result becomes KeyboardInterrupt."""
from conf import *
import os, signal, threading
tap_logger()
def fac(): 
    lp = new_loop(); lp.may_block = True; return lp
def hit(): os.kill(os.getpid(), signal.SIGINT)
async def waits():
    asyncio.get_running_loop().call_soon(hit)
    try: await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError as e: emit("main task cancelled " + exc(e)); raise
async def swallows():
    asyncio.get_running_loop().call_soon(hit)
    try: await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError: emit("swallowed")
    return "normal result"
async def other_error():
    asyncio.get_running_loop().call_soon(hit)
    try: await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError: raise ValueError("instead")
async def twice():
    asyncio.get_running_loop().call_soon(hit)
    try: await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        emit("first SIGINT seen; second comes")
        hit()
        for _ in range(1000): pass
        emit("not reached")
async def cancelled_anyway():
    asyncio.current_task().cancel("own"); asyncio.get_running_loop().call_soon(hit)
    await asyncio.get_running_loop().create_future()
def attempt2(label, fn):
    try: emit(f"{label} -> {fn()!r}")
    except BaseException as e: emit(f"{label} !! {exc(e)}")
if STRICT: log("(no strict trace: real signals)")
else:
    before = signal.getsignal(signal.SIGINT)
    for fn in (waits, swallows, other_error, twice, cancelled_anyway):
        def go():
            with asyncio.Runner(loop_factory=fac) as r:
                return r.run(fn())
        attempt2(fn.__name__, go)
    emit(f"handler restored {signal.getsignal(signal.SIGINT) is before}")
    async def custom():
        hit(); await asyncio.sleep(0); return "custom handler kept"
    signal.signal(signal.SIGINT, lambda *a: emit("custom handler"))
    with asyncio.Runner(loop_factory=fac) as r: attempt2("custom", lambda: r.run(custom()))
