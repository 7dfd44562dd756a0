# SPDX-License-Identifier: Apache-2.0
"""A job still queued in the executor is really cancelled; a finished result beats a late cancel."""
from conf import *
import concurrent.futures, threading
async def main():
    loop = asyncio.get_running_loop(); loop.may_block = True
    ex = concurrent.futures.ThreadPoolExecutor(1); gate = threading.Event(); ran = []
    a = loop.run_in_executor(ex, gate.wait, 5); b = loop.run_in_executor(ex, ran.append, "b"); c = loop.run_in_executor(ex, ran.append, "c")
    emit(f"cancel queued {b.cancel()}"); await asyncio.sleep(0); gate.set()
    emit(f"a {await a} c {await c} ran {ran}")
    try: await b
    except asyncio.CancelledError: emit("b raises CancelledError")
    cf = concurrent.futures.Future(); w = asyncio.wrap_future(cf); emit(f"wrap {asyncio.isfuture(w)} {asyncio.wrap_future(w) is w}")
    w.cancel(); await ticks(2); emit(f"cancel travels back {cf.cancelled()}")
    cf = concurrent.futures.Future(); w = asyncio.wrap_future(cf); cf.set_result(42); w.cancel(); await ticks(3); emit(f"result first, cancel later: {cf.cancelled()} {cf.result()} {w.cancelled()}")
    cf = concurrent.futures.Future(); w = asyncio.wrap_future(cf); cf.cancel(); await ticks(3); emit(f"cancelled source: {w.cancelled()}")
    cf = concurrent.futures.Future(); w = asyncio.wrap_future(cf); cf.set_exception(ValueError("v")); 
    try: await w
    except ValueError as e: emit("exception copied " + exc(e))
    ex.shutdown()
if STRICT: log("(no strict trace: real threads)")
else:
    lp = new_loop(); lp.run_until_complete(main()); lp.close()
