# SPDX-License-Identifier: Apache-2.0
"""Mixed program: producers, workers, timeout, cancellation, shutdown through a sentinel."""
from conf import *
async def producer(q, n):
    for i in range(n): await q.put((i, f"job{i}")); log("put", i, q.qsize())
async def worker(name, q):
    try:
        while True:
            i, job = await q.get()
            try:
                async with asyncio.timeout(.25): await asyncio.sleep(.1 * (i % 4)); log(name, "did", job)
            except TimeoutError: log(name, "gave up", job)
            finally: q.task_done()
    finally: log(name, "exits")
async def main():
    q = asyncio.Queue(2)
    ws = [asyncio.create_task(worker(f"w{i}", q), name=f"w{i}") for i in range(2)]
    await producer(q, 6); await q.join(); log("all done")
    for w in ws: w.cancel()
    log([type(x).__name__ for x in await asyncio.gather(*ws, return_exceptions=True)])
run(main)
