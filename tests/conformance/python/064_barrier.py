# SPDX-License-Identifier: Apache-2.0
"""Barrier: filling, draining, index values, reuse, cancel of one party, reset, abort."""
from conf import *
def r(b): return scrub(repr(b)).split(" [")[1]
async def w(n, b):
    try: i = await b.wait(); log(n, "index", i, b.n_waiting, r(b)); return i
    except asyncio.BrokenBarrierError as e: log(n, exc(e)); raise
    except asyncio.CancelledError: log(n, "cancelled", b.n_waiting); raise
async def main():
    b = asyncio.Barrier(3); log(r(b), b.parties, b.n_waiting, b.broken)
    ts = [asyncio.create_task(w(n, b)) for n in "ab"]; await asyncio.sleep(0); log(r(b), b.n_waiting)
    ts.append(asyncio.create_task(w("c", b))); await asyncio.sleep(0); log(r(b)); await asyncio.wait(ts); log(r(b))
    ts = [asyncio.create_task(w(n, b)) for n in "de"]; await asyncio.sleep(0); ts[0].cancel(); await ticks(2); log(r(b))
    ts += [asyncio.create_task(w(n, b)) for n in "fg"]; await asyncio.wait(ts); log(r(b))
    ts = [asyncio.create_task(w(n, b)) for n in "hi"]; await asyncio.sleep(0); await b.reset(); log(r(b)); await asyncio.wait(ts); log(r(b))
    ts = [asyncio.create_task(w(n, b)) for n in "jk"]; await asyncio.sleep(0); await b.abort(); log(r(b), b.broken); await asyncio.wait(ts)
    t = asyncio.create_task(w("l", b)); await asyncio.wait([t]); await b.reset(); log("reset mends it", r(b), b.broken)
    one = asyncio.Barrier(1); log("single party", await one.wait(), await one.wait())
    for n in (0, -4): attempt("parties", asyncio.Barrier, n)
    async with one as i: log("as", i)
    [t.exception() for t in ts if not t.cancelled()]; t.exception()
run(main)
