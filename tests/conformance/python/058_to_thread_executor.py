# SPDX-License-Identifier: Apache-2.0
"""run_in_executor / to_thread: value, exception, context, cancel, shutdown."""
from conf import *
import contextvars, threading, time
v = contextvars.ContextVar("v", default="default")
async def main():
    loop = asyncio.get_running_loop(); loop.may_block = True
    me = threading.get_ident()
    v.set("from task")
    emit(f"to_thread {await asyncio.to_thread(lambda a, b=0: (a, b, v.get(), threading.get_ident() != me), 1, b=2)}")
    emit(f"run_in_executor {await loop.run_in_executor(None, lambda a: (a, v.get()), 1)}")
    def bad(): raise ValueError("in thread")
    for aw in (asyncio.to_thread(bad), loop.run_in_executor(None, bad)):
        try: await aw
        except ValueError as e: emit("error " + exc(e))
    def si(): raise StopIteration("si")
    ev = threading.Event(); done = threading.Event()
    def block(): ev.wait(5); done.set(); return "late"
    f = loop.run_in_executor(None, block); await asyncio.sleep(0)
    emit(f"cancel {f.cancel()} cancelled {f.cancelled()}")
    ev.set(); done.wait(5); emit("the thread ran to its end all the same")
    ex = loop._default_executor
    emit(f"thread name prefix {sorted(t.name.rsplit('_', 1)[0] for t in ex._threads)[0]}")
    await loop.shutdown_default_executor()
    try: await asyncio.to_thread(bad)
    except RuntimeError as e: emit(exc(e))
if STRICT: log("(no strict trace: real threads)")
else:
    lp = new_loop(); lp.run_until_complete(main()); lp.close()
