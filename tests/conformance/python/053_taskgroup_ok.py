# SPDX-License-Identifier: Apache-2.0
"""TaskGroup: waits for all; children that add children; cancelled child is not an error; state checks."""
from conf import *
async def val(n, d, tg=None):
    await asyncio.sleep(d); log("end", n)
    if tg: tg.create_task(val(n + ".sub", .1), name="sub")
    return n
async def main():
    async with asyncio.TaskGroup() as tg:
        log(repr(tg)); a = tg.create_task(val("a", .2), name="A"); b = tg.create_task(val("b", .1, tg)); log(repr(tg), a.get_name())
    log("exit", st(a), st(b), repr(tg))
    async with asyncio.TaskGroup() as tg:
        c = tg.create_task(val("c", 5)); d = tg.create_task(val("d", .1)); await asyncio.sleep(0); c.cancel()
    log("a cancelled child is ignored:", st(c), st(d))
    async with asyncio.TaskGroup() as tg: log("empty group")
    c = val("x", 0)
    for label, act in (("finished", lambda: tg.create_task(c)), ("not entered", lambda: asyncio.TaskGroup().create_task(c))):
        try: act()
        except RuntimeError as e: log(label, scrub(str(e)))
    c.close()
    try:
        async with tg: pass
    except RuntimeError as e: log("re-enter", scrub(str(e)))
    asyncio.get_running_loop().call_soon(log, "an exit without children does not yield, so this comes later")
    async with asyncio.TaskGroup(): pass
    log("left the empty group"); await asyncio.sleep(0)
run(main)
