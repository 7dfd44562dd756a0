# SPDX-License-Identifier: Apache-2.0
"""An exception in a callback goes to the handler and does not stop the loop."""
from conf import *
def bad(x): raise ValueError(f"bad {x}")
async def main():
    loop = asyncio.get_running_loop()
    loop.call_soon(bad, 1)
    loop.call_soon(log, "next in the same pass")
    loop.call_later(0.1, bad, 2)
    f = loop.create_future()
    f.add_done_callback(bad_cb)
    f.add_done_callback(lambda f: log("second done-callback still runs"))
    f.set_result(1)
    await asyncio.sleep(0.2)
    def base(): raise asyncio.CancelledError("from callback")
    loop.call_soon(base)
    await asyncio.sleep(0)
    class B(BaseException): pass
    def base2(): raise B("base")
    loop.call_soon(base2)
    await asyncio.sleep(0)
    log("alive")
def bad_cb(f): raise KeyError("in done-callback")
run(main)
