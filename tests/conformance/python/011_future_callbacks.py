# SPDX-License-Identifier: Apache-2.0
"""Done-callbacks: always via the loop, in order, duplicates kept, removal counts."""
from conf import *
async def main():
    loop = asyncio.get_running_loop()
    f = loop.create_future()
    def cb(tag):
        def inner(fut):
            log("cb", tag, fut is f, st(fut))
        return inner
    a, b, c = cb("a"), cb("b"), cb("c")
    for x in (a, b, a, c, a): f.add_done_callback(x)
    log("removed", f.remove_done_callback(a), f.remove_done_callback(a))
    f.add_done_callback(a)
    def adder(fut):
        log("adder: adds to a done future")
        fut.add_done_callback(cb("added by adder"))
    f.add_done_callback(adder)
    f.add_done_callback(b)
    f.set_result(42)
    log("set_result returned; nothing has run yet")
    log("removed after done", f.remove_done_callback(b))
    f.add_done_callback(cb("added after set_result"))
    await asyncio.sleep(0)
    log("one pass later")
    await asyncio.sleep(0)
    log("two passes later")
    g = loop.create_future()
    g.add_done_callback(lambda fut: log("cancel cb", st(fut)))
    g.cancel()
    log("cancel returned")
    await asyncio.sleep(0)
run(main)
