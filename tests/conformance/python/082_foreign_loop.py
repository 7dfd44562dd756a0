# SPDX-License-Identifier: Apache-2.0
"""Objects that belong to another loop, in every combinator; locks bind on first contention."""
from conf import *
async def try_(label, make):
    try: r = make(); r = await r if hasattr(r, "__await__") else r; log(label, "ok", r)
    except BaseException as e: log(label, type(e).__name__, scrub(str(e)).split(" got ")[0][:40].split(" <")[0], "...", scrub(str(e))[-40:])
async def main():
    loop = asyncio.get_running_loop(); other = TestLoop(); f = other.create_future(); mine = loop.create_future(); mine.set_result(0)
    await try_("await", lambda: f)
    await try_("gather", lambda: asyncio.gather(mine, f))
    await try_("wait_for", lambda: asyncio.wait_for(f, 1))
    await try_("shield", lambda: asyncio.shield(f))
    await try_("as_completed", lambda: next(iter(asyncio.as_completed([f]))))
    d, p = await asyncio.wait([f], timeout=.1); log("wait does not check; ends by its timeout", len(d), len(p))
    lk = asyncio.Lock(); await lk.acquire(); log("uncontended use does not bind", lk._loop is None)
    t = asyncio.create_task(lk.acquire()); await asyncio.sleep(0); log("contention binds", lk._loop is loop); lk.release(); await t
    f.cancel(); other._ready.clear(); other.close()
    return lk
lk = []
async def m1(): lk.append(await main())
run(m1)
async def m2():
    for o, c in ((lk[0], lambda: lk[0].acquire()), ):
        try: await c()
        except RuntimeError as e: log("lock in another loop:", scrub(str(e)).split("[")[1])
run(m2)
