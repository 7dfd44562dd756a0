# SPDX-License-Identifier: Apache-2.0
"""run_coroutine_threadsafe: result, exception, cancel from the thread, cancelled task, timeout."""
from conf import *
import concurrent.futures as cf, threading, queue
async def val(n): await asyncio.sleep(.01); return n
async def bad(): await asyncio.sleep(.01); raise ValueError("in coro")
async def selfcancel(): asyncio.current_task().cancel("c"); await asyncio.sleep(1)
started = None
async def forever():
    started.set()
    try: await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError: print_q.put("coroutine was cancelled"); raise
print_q = queue.Queue()
def thread(loop, fin):
    out = []
    try:
        f = asyncio.run_coroutine_threadsafe(val(5), loop)
        out.append(("type", type(f).__module__.split(".")[0], isinstance(f, cf.Future)))
        out.append(("value", f.result(5)))
        for c in (bad, selfcancel):
            f = asyncio.run_coroutine_threadsafe(c(), loop)
            try: f.result(5)
            except ValueError as e: out.append(("ValueError", str(e)))
            except cf.CancelledError as e: out.append(("concurrent CancelledError", f.cancelled()))
        f = asyncio.run_coroutine_threadsafe(forever(), loop)
        started.wait(5)
        try: f.result(0.01)
        except TimeoutError: out.append(("TimeoutError, still running", not f.done()))
        out.append(("cancel", f.cancel(), f.cancelled()))
        out.append(("note", print_q.get(timeout=5)))
        try: asyncio.run_coroutine_threadsafe(5, loop)
        except TypeError as e: out.append(("TypeError", str(e)))
    except BaseException as e:
        out.append(("thread failed", repr(e)))
    loop.call_soon_threadsafe(fin.set_result, out)
async def main():
    global started
    started = threading.Event()
    loop = asyncio.get_running_loop(); loop.may_block = True
    fin = loop.create_future()
    th = threading.Thread(target=thread, args=(loop, fin)); th.start()
    loop._vtime = 0.0
    for row in await fin: emit(" ".join(map(str, row)))
    th.join()
if STRICT: log("(no strict trace: real threads)")
else:
    lp = new_loop(); lp.run_until_complete(main()); lp.close()
