# SPDX-License-Identifier: Apache-2.0
"""Lock: FIFO hand-over, no barging, release rules, repr, async with, cancelled waiters."""
from conf import *
async def user(n, lock, hold=0):
    log(n, "wants")
    try:
        async with lock:
            log(n, "has"); await asyncio.sleep(hold)
    except asyncio.CancelledError: log(n, "cancelled"); raise
    log(n, "left")
def r(lock): return scrub(repr(lock)).split(" [")[1]
async def main():
    lock = asyncio.Lock(); log(r(lock), lock.locked())
    log("acquire returns", await lock.acquire(), r(lock))
    ts = [asyncio.create_task(user(n, lock)) for n in "abc"]; await asyncio.sleep(0); log(r(lock))
    lock.release(); log("released:", lock.locked(), "- the first waiter is only scheduled")
    late = asyncio.create_task(user("late", lock))
    log("barging:"); await lock.acquire(); log("main got it after the queue"); lock.release()
    await asyncio.wait(ts + [late]); log(r(lock))
    attempt("release unlocked", lock.release)
    # cancel the waiter that was just woken: the next one must be woken instead
    await lock.acquire()
    ts = [asyncio.create_task(user(n, lock)) for n in "xyz"]; await asyncio.sleep(0)
    lock.release(); ts[0].cancel(); await asyncio.wait(ts); log(r(lock))
    # cancel a waiter in the middle, then release in the same pass
    await lock.acquire()
    ts = [asyncio.create_task(user(n, lock)) for n in "pq"]; await asyncio.sleep(0)
    ts[0].cancel(); lock.release(); await asyncio.wait(ts); log(r(lock))
    ts = [asyncio.create_task(user(n, lock, .1)) for n in "mn"]
    await asyncio.wait(ts); log("uncontended acquire does not yield:")
    asyncio.get_running_loop().call_soon(log, "callback"); await lock.acquire(); log("acquired"); lock.release(); await asyncio.sleep(0)
    try: await lock
    except TypeError as e: log(exc(e))
run(main)
