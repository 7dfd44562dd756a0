# SPDX-License-Identifier: Apache-2.0
"""wait: ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION; (done, pending); never raises results."""
from conf import *
async def val(n, d):
    await asyncio.sleep(d); return n
async def bad(n, d):
    await asyncio.sleep(d); raise ValueError(n)
def show(label, dp):
    log(label, "done", sorted(t.get_name() for t in dp[0]), "pending", sorted(t.get_name() for t in dp[1]))
def mk(): return [asyncio.create_task(c, name=n) for n, c in
                  (("v1", val(1, .1)), ("v2", val(2, .3)), ("b", bad("b", .2)))]
async def main():
    for mode in (asyncio.ALL_COMPLETED, asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION):
        ts = mk(); show(mode, await asyncio.wait(ts, return_when=mode))
        show("rest", await asyncio.wait(ts)); [t.exception() for t in ts if not t.cancelled()]
    ts = mk(); await asyncio.sleep(.15)
    show("already done + FIRST_COMPLETED", await asyncio.wait(ts, return_when=asyncio.FIRST_COMPLETED))
    ts[1].cancel()
    show("a cancelled one does not trigger FIRST_EXCEPTION", await asyncio.wait(ts[:2], return_when=asyncio.FIRST_EXCEPTION))
    show("rest", await asyncio.wait(ts)); ts[2].exception()
    f = asyncio.get_running_loop().create_future(); f.set_result(0)
    asyncio.get_running_loop().call_soon(log, "wait on done futures still takes a pass")
    d, p = await asyncio.wait([f]); log(len(d), len(p))
    a, b = asyncio.create_task(val("a", 0), name="a"), asyncio.create_task(val("b", 0), name="b")
    show("two in the same pass, FIRST_COMPLETED", await asyncio.wait([a, b], return_when=asyncio.FIRST_COMPLETED))
run(main)
