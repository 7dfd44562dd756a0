# SPDX-License-Identifier: Apache-2.0
"""cancelling()/uncancel() are counters only; they never revoke a pending cancel (3.11)."""
from conf import *
async def body():
    me = asyncio.current_task()
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        log("caught; cancelling", me.cancelling(), "uncancel ->", me.uncancel(), "again ->", me.uncancel())
    await asyncio.sleep(0.1)
    log("finished normally")
    return "ok"
async def main():
    t = asyncio.create_task(body(), name="T"); await asyncio.sleep(0)
    log("before", t.cancelling()); t.cancel(); t.cancel()
    log("after two cancels", t.cancelling())
    log("result", await t, "cancelling", t.cancelling(), "uncancel on done ->", t.uncancel())
    async def simple():
        log("body ran (3.13+ only)"); return "ran"
    t = asyncio.create_task(simple())
    t.cancel("still delivered"); log("uncancel before it is delivered ->", t.uncancel())
    await asyncio.wait([t]); log(st(t))
run(main)
