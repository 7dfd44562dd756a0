# SPDX-License-Identifier: Apache-2.0
"""Event: set wakes all in order, set+clear still wakes, wait on set does not yield, cancel."""
from conf import *
async def w(n, ev):
    try: log(n, "->", await ev.wait(), "is_set", ev.is_set())
    except asyncio.CancelledError: log(n, "cancelled"); raise
def r(ev): return scrub(repr(ev)).split(" [")[1]
async def main():
    ev = asyncio.Event(); ts = [asyncio.create_task(w(n, ev)) for n in "abc"]; await asyncio.sleep(0); log(r(ev))
    ts[1].cancel(); ev.set(); log(r(ev)); ts.append(asyncio.create_task(w("d", ev))); await asyncio.wait(ts); log(r(ev))
    asyncio.get_running_loop().call_soon(log, "callback"); log(await ev.wait(), "no yield"); await asyncio.sleep(0)
    ev.clear(); ts = [asyncio.create_task(w("e", ev))]; await asyncio.sleep(0)
    ev.set(); ev.clear(); ts.append(asyncio.create_task(w("f", ev))); await ticks(3); log("e woken although cleared; f waits", [st(t) for t in ts])
    ev.set(); ev.set(); await asyncio.wait(ts)
run(main)
