# SPDX-License-Identifier: Apache-2.0
"""sleep(0) tasks take turns; a nested await does not add passes."""
from conf import *
async def leaf(n, i):
    await asyncio.sleep(0)
    log(n, i)
async def mid(n, i): await leaf(n, i)
async def worker(n, f):
    for i in range(3): await f(n, i)
    log(n, "done")
    return n
async def main():
    a = asyncio.create_task(worker("A", leaf))
    b = asyncio.create_task(worker("B", mid))
    log("join", await a, await b)
run(main)
