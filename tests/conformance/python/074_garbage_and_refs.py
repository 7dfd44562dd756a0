# SPDX-License-Identifier: Apache-2.0
"""The loop does not keep a task alive that waits for something nobody holds."""
from conf import *
import weakref
async def hang():
    try: await asyncio.get_running_loop().create_future()
    finally: log("finally block on destruction")
async def timed():
    await asyncio.sleep(.2); log("a sleeping task is kept by its timer")
async def main():
    t = asyncio.create_task(hang(), name="H"); r = weakref.ref(t); await asyncio.sleep(0)
    log("all_tasks", sorted(x.get_name() == "H" for x in asyncio.all_tasks())); t = None; gc.collect()
    log("gone", r() is None, len(asyncio.all_tasks()))
    t = asyncio.create_task(timed()); r = weakref.ref(t); t = None; await asyncio.sleep(.1); gc.collect(); log("alive", r() is not None); await asyncio.sleep(.2); gc.collect(); log("alive", r() is not None)
run(main)
