# SPDX-License-Identifier: Apache-2.0
"""get_running_loop / get_event_loop / set_event_loop; a fresh thread has no loop."""
from conf import *
import threading
def name(o): return type(o).__name__
attempt("get_running_loop", asyncio.get_running_loop)
async def main():
    loop = asyncio.get_running_loop(); log(asyncio.get_event_loop() is loop)
    loop.call_soon(lambda: log("in a callback", asyncio.get_running_loop() is loop, asyncio.get_event_loop() is loop)); await asyncio.sleep(0)
    other = TestLoop(); asyncio.set_event_loop(other); log("set_event_loop does not change the running one", asyncio.get_event_loop() is loop); asyncio.set_event_loop(None); other.close()
    out = []
    def th():
        for fn in (asyncio.get_running_loop, asyncio.get_event_loop):
            try: fn(); out.append("ok")
            except RuntimeError as e: out.append(str(e))
    t = threading.Thread(target=th, name="T-x"); t.start(); t.join(); [log(x) for x in out]
run(main)
loop = new_loop(); asyncio.set_event_loop(loop); log("outside, set:", asyncio.get_event_loop() is loop); asyncio.set_event_loop(None)
attempt("outside, set to None", asyncio.get_event_loop); attempt("set_event_loop(1)", asyncio.set_event_loop, 1); loop.close()
