# SPDX-License-Identifier: Apache-2.0
"""create_task never runs the body at once; tasks start in creation order, one pass later."""
from conf import *
async def child(n):
    log("start", n)
    if n == 1:
        asyncio.create_task(child("1.1"), name="1.1")
        log("created 1.1")
    return n
async def main():
    log("main start")
    ts = [asyncio.create_task(child(i), name=f"c{i}") for i in range(3)]
    log("created", [t.done() for t in ts])
    r = await child("direct")          # a plain await runs it now, in this task
    log("direct", r)
    await asyncio.sleep(0)
    log("after one pass", [st(t) for t in ts])
    await asyncio.sleep(0)
    log("after two passes")
run(main)
