# SPDX-License-Identifier: Apache-2.0
"""cancel() before the first step: the body never runs; message of the last cancel wins."""
from conf import *
async def body():
    log("body ran (wrong)")
    try: pass
    finally: log("finally ran (wrong)")
async def main():
    t = asyncio.create_task(body(), name="T")
    log("cancel", t.cancel("one"), t.cancel("two"), "cancelling", t.cancelling(),
        "cancelled", t.cancelled(), "done", t.done())
    t.add_done_callback(lambda x: log("done-callback", st(x)))
    try: await t
    except asyncio.CancelledError as e: log("caught", exc(e))
    log("cancelled", t.cancelled(), "cancel again", t.cancel(), "cancelling", t.cancelling())
    log("main's own cancelling()", asyncio.current_task().cancelling())
run(main)
