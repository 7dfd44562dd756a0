# SPDX-License-Identifier: Apache-2.0
"""call_soon_threadsafe keeps FIFO per caller and wakes a sleeping loop."""
from conf import *
import threading
async def main():
    loop = asyncio.get_running_loop()
    loop.may_block = True
    fut = loop.create_future()
    loop.call_soon_threadsafe(log, "same thread 1")
    loop.call_soon(log, "same thread 2")
    await asyncio.sleep(0)
    def worker():
        for i in range(3):
            loop.call_soon_threadsafe(log, "from thread", i)
        loop.call_soon_threadsafe(fut.set_result, "woken")
    th = threading.Thread(target=worker)
    th.start()
    log("result", await fut)
    th.join()
if STRICT:
    log("(no strict trace: real threads)")
else:
    run(main)
