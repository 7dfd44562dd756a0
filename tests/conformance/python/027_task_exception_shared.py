# SPDX-License-Identifier: Apache-2.0
"""A failed task gives every awaiter the same exception object."""
from conf import *
async def bad():
    await asyncio.sleep(0); raise ValueError("v")
async def w(n, t, seen):
    try: await t
    except ValueError as e: log(n, exc(e)); seen.append(e)
async def main():
    t = asyncio.create_task(bad()); seen = []
    ws = [asyncio.create_task(w(n, t, seen)) for n in "abc"]
    await asyncio.wait(ws)
    log("same object", all(e is seen[0] for e in seen), t.exception() is seen[0])
    async def stop_iter(): raise StopIteration("si")
    t = asyncio.create_task(stop_iter()); await asyncio.wait([t])
    log("StopIteration becomes", type(t.exception()).__name__)
run(main)
