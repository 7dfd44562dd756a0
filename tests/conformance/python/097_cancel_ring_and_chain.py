# SPDX-License-Identifier: Apache-2.0
"""A ring of waiting tasks cannot be cancelled in 3.11 (RecursionError); long chains; group ring."""
from conf import *
async def main():
    loop = asyncio.get_running_loop(); ts = {}
    async def w(a, b): await asyncio.sleep(0); await ts[b]
    ts["a"] = asyncio.create_task(w("a", "b")); ts["b"] = asyncio.create_task(w("b", "a")); await ticks(4)
    log("ring waits", [st(t) for t in ts.values()])
    try: ts["a"].cancel("x")
    except RecursionError: log("cancel() raises RecursionError")
    await ticks(4); log("still", [st(t) for t in ts.values()])
    for n in (10, 500):
        f = loop.create_future()
        async def link(x): await x
        chain = [asyncio.create_task(link(f))]
        for _ in range(n - 1): chain.append(asyncio.create_task(link(chain[-1])))
        await ticks(2); log("chain", n, chain[-1].cancel(), "future", st(f)); it = loop.iteration
        await asyncio.wait([chain[-1]]); log("passes until the top is cancelled", loop.iteration - it - 1, "all", all(t.cancelled() for t in chain))
    async def group():
        async with asyncio.TaskGroup() as tg:
            me = asyncio.current_task()
            async def child(): await me
            tg.create_task(child(), name="child")
    g = asyncio.create_task(group()); await ticks(3); g.cancel(); await asyncio.wait([g], timeout=1); log("group whose child waits for it:", st(g))
    log("end"); os._exit(0)
run(main)
