# SPDX-License-Identifier: Apache-2.0
"""Reports at destruction: unread exceptions, pending tasks, coroutines never awaited."""
from conf import *
async def bad(): raise ValueError("unread")
async def hang(f): await f
async def main():
    loop = asyncio.get_running_loop()
    f = loop.create_future(); f.set_exception(KeyError("k")); log("drop a failed future"); f = None
    t = asyncio.create_task(bad()); await asyncio.sleep(0); log("drop a failed task"); t = None; await asyncio.sleep(0)
    t = asyncio.create_task(bad()); await asyncio.sleep(0); log("cancel() on the failed task silences it", t.cancel()); t = None
    t = asyncio.create_task(bad()); await asyncio.sleep(0); log("exception() silences it", exc(t.exception())); t = None
    f = loop.create_future(); f.set_exception(KeyError("k")); f.add_done_callback(lambda f: None); await asyncio.sleep(0); log("a callback that does not look at it does not"); f = None
    f = loop.create_future(); f.cancel(); f = None; log("cancelled futures are silent")
    t = asyncio.create_task(hang(loop.create_future())); await asyncio.sleep(0); log("drop a suspended task"); t = None; gc.collect()
    log("create and drop a coroutine"); hang(None); 
    c = hang(None); log("close() silences it"); c.close(); c = None
    g = asyncio.gather(hang(loop.create_future())); await asyncio.sleep(0); log("drop a gather: children are not reported"); g = None; gc.collect()
run(main)
