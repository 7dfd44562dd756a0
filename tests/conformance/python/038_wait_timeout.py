# SPDX-License-Identifier: Apache-2.0
"""wait with a timeout: no exception, nothing is cancelled; zero, negative, exact tie."""
from conf import *
async def val(n, d):
    await asyncio.sleep(d); log("finished", n); return n
def show(label, dp):
    log(label, "done", sorted(t.get_name() for t in dp[0]), "pending", sorted(t.get_name() for t in dp[1]))
async def main():
    a = asyncio.create_task(val("a", .1), name="a"); b = asyncio.create_task(val("b", .3), name="b")
    show("timeout .2", await asyncio.wait([a, b], timeout=.2)); log("b still", st(b))
    show("timeout 0", await asyncio.wait([b], timeout=0))
    show("timeout -1", await asyncio.wait([b], timeout=-1))
    show("no limit", await asyncio.wait([b]))
    f = asyncio.get_running_loop().create_future(); 
    c = asyncio.create_task(asyncio.wait([f], timeout=.1))
    asyncio.get_running_loop().call_at(asyncio.get_running_loop().time() + .1, f.set_result, "tie")
    d, p = await c
    log("tie: done", len(d), "pending", len(p))
run(main)
